//! `--print-config`: the effective values, each with where it comes from.

use super::Loaded;

/// Renders the configuration as TOML that can be used as a file again.
pub fn print(loaded: &Loaded) -> String {
    let Ok(toml::Value::Table(effective)) = toml::Value::try_from(&loaded.config) else {
        return String::new();
    };
    let mut text = String::new();
    for (key, value) in effective.iter().filter(|(_, value)| !value.is_table()) {
        line(&mut text, key, value, loaded.file.contains_key(key));
    }
    for (section, values) in &effective {
        let toml::Value::Table(values) = values else {
            continue;
        };
        text.extend(["\n[", section, "]\n"]);
        let said = loaded.file.get(section).and_then(toml::Value::as_table);
        for (key, value) in values {
            line(
                &mut text,
                key,
                value,
                said.is_some_and(|said| said.contains_key(key)),
            );
        }
    }
    text
}

fn line(text: &mut String, key: &str, value: &toml::Value, said: bool) {
    let origin = if said { "file" } else { "default" };
    text.extend([key, " = ", &value.to_string(), " # ", origin, "\n"]);
}
