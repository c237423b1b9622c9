//! The reference of settings in the documents is made from the types that the server reads them into.
//! `UPDATE=1 cargo test -p homing-server --test config` writes it.

use homing_server::Config;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

const SOURCES: [&str; 4] = [
    include_str!("../../src/config/mod.rs"),
    include_str!("../../src/config/hooks.rs"),
    include_str!("../../src/config/http.rs"),
    include_str!("../../src/config/namespace.rs"),
];

const HEAD: &str = "\
# Settings of the server

`homing-server --config FILE` reads TOML or JSON. Over the file stands the environment, where
`HOMING_CLIENT_INSECURE` is `client.insecure`, and over both stand the flags (`homing-server --help`). A key
that does not exist, a value that does not fit, and an option of Centrifugo that this server does not have keep
the server from starting, and it says which key it was; `homing-server check-config` only checks. Where a
setting means what it means in Centrifugo it has the same name and place, so most files of its users can be
brought along.

Without a file there is one namespace, `chat`, that keeps 300 messages for an hour, with presence, join and
leave events and recovery. Then nobody can connect without a token until `--insecure` is given or
`client.token.hmac_secret_key` is set; `homing-server token --user ada` makes a token with that key.

Lengths of time are text: `\"500ms\"`, `\"25s\"`, `\"1h30m\"`. Sizes are bytes. All options of a namespace are
off or 0 unless they are set. This page is generated from `server-ref/src/config`.

| setting | meaning |
|---|---|
";

struct Field {
    name: String,
    kind: String,
    meaning: String,
    flattened: bool,
}

/// The fields of every struct of the sources, with what their comments say.
fn structs() -> BTreeMap<String, Vec<Field>> {
    let mut structs = BTreeMap::new();
    let (mut current, mut meaning, mut flattened, mut renamed) = (None, String::new(), false, None);
    for line in SOURCES.iter().flat_map(|source| source.lines()) {
        let text = line.trim();
        if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
            structs.insert(name.to_owned(), Vec::<Field>::new());
            current = Some(name.to_owned());
        } else if line == "}" {
            current = None;
        } else if let Some(comment) = text.strip_prefix("/// ") {
            let space = if meaning.is_empty() { "" } else { " " };
            meaning = format!("{meaning}{space}{comment}");
            continue;
        } else if text == "#[serde(flatten)]" {
            flattened = true;
            continue;
        } else if let Some(name) = text.strip_prefix("#[serde(rename = \"") {
            renamed = name.split('"').next().map(str::to_owned);
            continue;
        } else if let (Some(name), Some((field, kind))) =
            (&current, text.strip_prefix("pub ").and_then(|rest| rest.split_once(": ")))
        {
            let fields = structs.get_mut(name).expect("its name was met before its fields");
            let (name, kind) = (renamed.take().unwrap_or(field.to_owned()), kind.trim_end_matches(','));
            fields.push(Field {
                name,
                kind: kind.to_owned(),
                meaning: std::mem::take(&mut meaning),
                flattened,
            });
        }
        meaning.clear();
        (flattened, renamed) = (false, None);
    }
    structs
}

fn write(structs: &BTreeMap<String, Vec<Field>>, name: &str, prefix: &str, out: &mut Vec<(String, String)>) {
    for field in &structs[name] {
        let key = format!("{prefix}{}", field.name);
        match field.kind.as_str() {
            "Proxy" if field.flattened && !prefix.starts_with("proxies") => {
                let key = prefix.trim_end_matches('.').to_owned();
                out.push((key, "Where, and the other settings of `proxies[]`, without a name.".into()));
            }
            _ if field.flattened => write(structs, &field.kind, prefix, out),
            "ChannelOptions" => {
                out.push((key, "The options of a namespace, for channels without one.".into()))
            }
            "Proxy" if !key.starts_with("proxies") => {
                out.push((key, format!("{} Settings as in `proxies[]`, without a name.", field.meaning)));
            }
            list if list.starts_with("Vec<Named") => {
                let item = list.trim_start_matches("Vec<").trim_end_matches('>');
                write(structs, item, &format!("{key}[]."), out);
            }
            kind if structs.contains_key(kind) => write(structs, kind, &format!("{key}."), out),
            _ => out.push((key, field.meaning.clone())),
        }
    }
}

/// The keys that the server itself knows.
fn known(value: &Value, prefix: &str, out: &mut Vec<String>) {
    let Value::Object(fields) = value else { return out.push(prefix.to_owned()) };
    for (key, value) in fields {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        known(value, &key, out);
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let mut rows = Vec::new();
    write(&structs(), "Config", "", &mut rows);
    let mut keys = Vec::new();
    known(&serde_json::to_value(Config::default()).unwrap(), "", &mut keys);
    for key in keys.iter().filter(|key| !key.starts_with("channel.without_namespace.")) {
        let named = rows.iter().any(|(row, _)| {
            *key == *row || key.starts_with(&format!("{row}.")) || row.starts_with(&format!("{key}["))
        });
        assert!(named, "{key} is not in the reference");
    }
    let mut page = HEAD.to_owned();
    for (key, meaning) in rows {
        assert!(!meaning.is_empty(), "{key} says nothing");
        writeln!(page, "| `{key}` | {meaning} |").expect("a string grows");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/settings.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == page,
        "docs/settings.md is out of date: UPDATE=1 cargo test -p homing-server --test config"
    );
}
