//! Values of parameters, as a grant carries them, and references that have some: `policy/name(service=nginx)`.
//!
//! A value is text that nobody reads for anything but itself. What it may be is the business of its profile.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    id::{IdError, ParameterName, PolicyName, ProfileName},
    limits::{PARAMETERS_MAX, VALUE_BYTES_MAX},
    text::Safe,
};

/// A value for each of some parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Values(BTreeMap<ParameterName, String>);

impl Values {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a parameter.
    pub fn get(&self, name: &ParameterName) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = (&ParameterName, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_str()))
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &ParameterName> {
        self.0.keys()
    }
}

impl FromIterator<(ParameterName, String)> for Values {
    fn from_iter<I: IntoIterator<Item = (ParameterName, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// Stands for itself in a reference. Everything else is `%` and two digits for each byte, so that no value ends another one.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._/+@:".contains(&byte)
}

/// `(a=1,b=/srv/x%20y)`, and nothing where there is none.
impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        for (index, (name, value)) in self.0.iter().enumerate() {
            write!(f, "{}{name}=", if index == 0 { "(" } else { "," })?;
            for byte in value.bytes() {
                if is_plain(byte) {
                    write!(f, "{}", char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
        }
        f.write_str(")")
    }
}

const RULE: &str = "write it as `policy/name(parameter=value,...)`";

fn malformed(what: &'static str, text: &str) -> IdError {
    IdError::Malformed {
        what,
        shown: Safe(text.as_bytes()).to_string(),
        rule: RULE,
    }
}

/// A name and the values behind it. Each text is one reference and each reference one text.
pub(crate) fn split<'t>(what: &'static str, text: &'t str) -> Result<(&'t str, Values), IdError> {
    let Some((name, rest)) = text.split_once('(') else {
        return Ok((text, Values::default()));
    };
    let inside = rest
        .strip_suffix(')')
        .ok_or_else(|| malformed(what, text))?;
    let mut values = BTreeMap::new();
    for pair in inside.split(',') {
        let (parameter, value) = pair.split_once('=').ok_or_else(|| malformed(what, text))?;
        let value = decoded(value).ok_or_else(|| malformed(what, text))?;
        values.insert(parameter.parse()?, value);
    }
    let values = Values(values);
    let (count, whole) = (values.0.len(), values.to_string());
    if count > PARAMETERS_MAX || text.get(name.len()..) != Some(whole.as_str()) {
        return Err(malformed(what, text));
    }
    Ok((name, values))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    let within = !bytes.is_empty() && bytes.len() <= VALUE_BYTES_MAX;
    String::from_utf8(bytes).ok().filter(|_| within)
}

/// A profile with its values, as somebody asked for it: `policy/profile(service=nginx)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileUse {
    /// The policy that defines it
    pub policy: PolicyName,
    /// Its name there
    pub profile: ProfileName,
    /// A value for each of its parameters
    pub values: Values,
}

impl ProfileUse {
    /// `policy/profile`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.policy, self.profile)
    }
}

impl fmt::Display for ProfileUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.policy, self.profile, self.values)
    }
}

impl FromStr for ProfileUse {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let (name, values) = split("profile", text)?;
        let (policy, profile) = name
            .split_once('/')
            .ok_or_else(|| malformed("profile", text))?;
        Ok(Self {
            policy: policy.parse()?,
            profile: profile.parse()?,
            values,
        })
    }
}

impl TryFrom<String> for ProfileUse {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ProfileUse> for String {
    fn from(one: ProfileUse) -> Self {
        one.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::PermissionRef;

    #[test]
    fn a_text_that_is_not_exactly_one_reference_is_none() {
        for bad in [
            "p/x()",
            "p/x(",
            "p/x)",
            "p/x(a)",
            "p/x(a=)",
            "p/x(a=1",
            "p/x(a=1)b",
            "p/x(a=1,)",
            "p/x(b=1,a=1)",
            "p/x(a=1,a=2)",
            "p/x(a=b c)",
            "p/x(a=%2f)",
            "p/x(a=%61)",
            "p/x(a=%)",
            "p/x(a=%FF)",
            "p/x(A=1)",
            "p/x((a=1))",
            "p(a=1)",
            "p/x(a=1)(b=2)",
            "p/x(a=1=2)",
            "p/x(a=1/x)(",
        ] {
            assert!(bad.parse::<PermissionRef>().is_err(), "{bad}");
            assert!(bad.parse::<ProfileUse>().is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=PARAMETERS_MAX)
            .map(|index| format!("a{index}=1"))
            .collect();
        assert!(
            format!("p/x({})", many.join(","))
                .parse::<PermissionRef>()
                .is_err()
        );
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        assert!(format!("p/x(a={long})").parse::<PermissionRef>().is_err());
    }

    proptest! {
        #[test]
        fn whatever_a_value_is_a_reference_reads_as_it_was_written(
            values in prop::collection::btree_map("[a-c]{1,2}", "(?s).{1,12}", 0..4),
        ) {
            let values: Values = values.into_iter().map(|(name, value)| (name.parse().unwrap(), value)).collect();
            let one = PermissionRef { policy: "p".parse().unwrap(), permission: "x".parse().unwrap(), values };
            prop_assert_eq!(one.to_string().parse::<PermissionRef>().unwrap(), one);
        }
    }
}
