//! Destinations: sets, sockets, names, ranges.

use super::*;

#[test]
fn a_set_stands_for_its_destinations_wherever_it_is_named() {
    let source = |net: &str| {
        document(&format!(
            "subjects: {{ groups: [dev] }}\nsets:\n  staging: {{ cidr: [10.30.0.0/16, \"2001:db8:30::/48\"] }}\n  \
             web: {{ cidr: 10.40.0.0/16, ports: [80, 443] }}\n  idle: {{ cidr: 10.50.0.1 }}\npermissions:\n  p: {{ net: \
             {{ ops: [connect], to: web }} }}\nrules:\n  - {{ id: r, effect: deny, net: {net} }}"
        ))
    };
    let policy = parse(&source(
        "{ ops: [connect, send], to: [staging, web], ports: [\"1-100\"] }",
    ))
    .unwrap();
    let Scope::Inline(Target::Net { ranges, .. }) = &policy.rules[0].scope else {
        panic!("{policy:?}")
    };
    let shown: Vec<String> = ranges
        .iter()
        .map(|one| format!("{:?} {:?}", one.cidrs.len(), one.ports))
        .collect();
    let port = |first, last| PortRange { first, last };
    assert_eq!(
        shown,
        [
            format!("2 {:?}", [port(1, 100)]),
            format!("1 {:?}", [port(80, 80)])
        ]
    );
    let warned: Vec<Diagnostic> = check(&policy);
    let unused = |warning: &&Diagnostic| warning.excerpt == "idle";
    assert_eq!(warned.iter().filter(unused).count(), 1, "{warned:?}");
    assert_eq!(warned.len(), 1, "{warned:?}");
    for (net, words) in [
        (
            "{ ops: [connect], to: [stagin] }",
            "did you mean `staging`?",
        ),
        (
            "{ ops: [connect], to: [zzzzzzzz] }",
            "use `staging`, `web` or `idle`",
        ),
        ("{ ops: [connect], to: [web, web] }", "twice"),
        ("{ ops: [connect], to: [] }", "an empty list"),
        (
            "{ ops: [connect], to: [web], cidr: 10.0.0.0/8 }",
            "both `cidr` and `to`",
        ),
        (
            "{ ops: [connect] }",
            "none of `cidr`, `to`, `path`, `abstract` and `vsock`",
        ),
        ("{ ops: [connect], ports: [1] }", "neither `cidr` nor `to`"),
        (
            "{ ops: [connect], to: [web], ports: [22] }",
            "has none of these ports",
        ),
        ("{ ops: [bind], to: [web] }", "`bind` has none"),
    ] {
        refused(&source(net), words);
    }
    let sets = |sets: &str| {
        let rules = "rules:\n  - { id: r, effect: deny, net: { ops: [connect], to: [a] } }";
        document(&format!(
            "subjects: {{ groups: [dev] }}\nsets: {sets}\n{rules}"
        ))
    };
    for (set, words) in [
        ("{}", "between 1 and 100"),
        ("[a]", "a mapping of names to destinations"),
        ("{ a: { ports: [1] } }", "a set has no `cidr`"),
        (
            "{ a: { cidr: 10.0.0.0/8, port: [1] } }",
            "did you mean `ports`?",
        ),
        (
            "{ a: { cidr: 10.0.0.0/8, host: x } }",
            "not enforced by this build",
        ),
        (
            "{ a: { cidr: 10.0.0.0/8 }, a: { cidr: 10.0.0.0/8 } }",
            "twice",
        ),
        ("{ A_: { cidr: 10.0.0.0/8 } }", "set name"),
        ("{ b: { cidr: 10.0.0.0/8 } }", "the policy has no set `a`"),
    ] {
        refused(&sets(set), words);
    }
    let many: Vec<String> = (0..=crate::limits::SETS_MAX)
        .map(|index| format!("s{index}: {{ cidr: 10.0.0.0/8 }}"))
        .collect();
    refused(
        &sets(&format!("{{ {} }}", many.join(", "))),
        "sets has 101 entries",
    );
}

#[test]
fn what_a_socket_is_and_is_not_asked_about_is_said() {
    let rule = |net: &str| with_rules(&[&format!("{{ id: a, effect: hold, net: {net} }}")]);
    for net in [
        "{ ops: [connect, send, bind, listen], cidr: \"::/0\", protocol: [tcp, udp, icmp, 132] }",
        "{ ops: [connect, send], path: [/run/docker.sock, /run/**] }",
        "{ ops: [connect, send, bind], abstract: [name, \"containerd-shim/*\"] }",
        "{ ops: [connect], path: /run/a, abstract: a }",
        "{ ops: [connect, send, bind], vsock: { cid: [2, 3], ports: 1024 } }",
        "{ ops: [connect], vsock: { cid: any } }",
        "{ ops: [raw, netlink] }",
    ] {
        let policy = parse(&rule(net)).unwrap_or_else(|found| panic!("{net}: {found:?}"));
        let compiled = compile(&[Versioned {
            revision: Revision(1),
            policy,
        }]);
        assert!(compiled.is_ok(), "{net}");
    }
    for (net, words) in [
        (
            "{ ops: [connect], cidr: 10.0.0.0/8, protocol: tcpp }",
            "did you mean `tcp`?",
        ),
        (
            "{ ops: [connect], cidr: 10.0.0.0/8, protocol: 0 }",
            "a number from 1 to 255",
        ),
        (
            "{ ops: [connect], cidr: 10.0.0.0/8, protocol: 262 }",
            "a number from 1 to 255",
        ),
        (
            "{ ops: [connect], cidr: 10.0.0.0/8, path: /a }",
            "not several of them",
        ),
        (
            "{ ops: [connect], path: /a, ports: [1] }",
            "not several of them",
        ),
        ("{ ops: [connect], path: a }", "a path"),
        ("{ ops: [bind], path: /a }", "`bind` to a path makes a file"),
        (
            "{ ops: [listen], path: /a }",
            "`listen` on a unix socket is not judged",
        ),
        (
            "{ ops: [listen], vsock: { cid: 2 } }",
            "`listen` on a virtual socket is not judged",
        ),
        (
            "{ ops: [connect], abstract: \"@a\" }",
            "it is no part of it",
        ),
        ("{ ops: [connect], abstract: \"a*b\" }", "one `*` at most"),
        ("{ ops: [connect], abstract: \"\" }", "1 to 107 bytes"),
        (
            "{ ops: [connect], vsock: { cid: any, ports: [1] } }",
            "cannot be told apart",
        ),
        (
            "{ ops: [connect], vsock: { cid: -1 } }",
            "a machine is a number",
        ),
        (
            "{ ops: [connect], vsock: { ports: 1 } }",
            "vsock has no `cid`",
        ),
        (
            "{ ops: [raw], cidr: 10.0.0.0/8 }",
            "`raw` is about no address",
        ),
        ("{ ops: [netlink, connect] }", "none of `cidr`"),
        (
            "{ ops: [netlink, connect], cidr: 10.0.0.0/8 }",
            "`netlink` is about no address",
        ),
        ("{ ops: [listen], to: [x] }", "`listen` has none"),
    ] {
        refused(&rule(net), words);
    }
    let longest = format!("{{ ops: [connect], abstract: \"{}\" }}", "a".repeat(107));
    assert!(parse(&rule(&longest)).is_ok());
    refused(&rule(&longest.replace("aa\"", "aaa\"")), "1 to 107 bytes");
}

#[test]
fn names_are_whole_or_beginnings_and_may_have_a_nul_anywhere() {
    let name = |text: &str| NamePattern::parse(text).unwrap();
    for (pattern, bytes, wanted) in [
        ("a", &b"a"[..], true),
        ("a", b"a\0", false),
        ("a", b"", false),
        ("a*", b"a\0b", true),
        ("a*", b"a", true),
        ("a*", b"b", false),
        ("*", b"", true),
    ] {
        assert_eq!(name(pattern).matches(bytes), wanted, "{pattern} {bytes:?}");
    }
    assert!(name("a*").covers(&name("ab")) && name("a*").covers(&name("ab*")));
    assert!(!name("a").covers(&name("a*")) && !name("ab*").covers(&name("a")));
}

#[test]
fn ranges_contain_what_they_say_and_all_of_ipv6_contains_ipv4() {
    let contains =
        |range: &str, ip: &str| Cidr::parse(range).unwrap().contains(ip.parse().unwrap());
    assert!(contains("127.0.9.0/24", "127.0.9.255") && !contains("127.0.9.0/24", "127.0.10.0"));
    assert!(contains("::/0", "10.0.0.1") && contains("0.0.0.0/0", "255.255.255.255"));
    assert!(!contains("0.0.0.0/0", "2001:db8::1") && !contains("2001:db8::/32", "10.0.0.1"));
    assert!(contains("10.0.0.1", "::ffff:10.0.0.1") && contains("10.0.0.1", "10.0.0.1"));
    for text in [
        "10.0.0",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.0/8/8",
        "x",
        "",
        "10.0.0.0/999999999999",
    ] {
        assert!(Cidr::parse(text).is_err(), "{text}");
    }
}
