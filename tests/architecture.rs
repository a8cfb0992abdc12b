//! Keeps the walls of the house: who may name whom (docs/ARCHITECTURE.md has the picture).

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The layers, from the ground up. A module names only modules of lower layers, never a peer.
const LAYERS: &[&[&str]] = &[
    &["model"],
    &["clock"],
    &[
        "config",
        "connection",
        "data_dir",
        "packing",
        "proto",
        "telemetry",
        "tls",
    ],
    &["events", "journal", "live_fetch", "providers", "redis", "store"],
    &["catalog", "flush", "mirror", "node", "presence"],
    &["admin", "auth", "jobs"],
    &["cli", "grpc", "http"],
    &["app"],
];

/// Words that only some modules may say: a word, who may, and why.
const RESERVED: &[(&str, &[&str], &str)] = &[
    (
        "crate::proto",
        &["grpc", "journal"],
        "protobuf types stay at the wire and in the journal",
    ),
    ("rusqlite", &["store"], "SQL stays in the store"),
    ("fred::", &["redis"], "Redis' client stays behind its door"),
    ("actix_web", &["http", "app"], "HTTP stays at the door"),
    ("tonic::", &["grpc", "proto"], "gRPC stays at the door"),
    (
        "dashmap",
        &["node", "auth/limits.rs"],
        "two directories and the limits, which every call reads, and nothing else",
    ),
    (
        "anyhow",
        &["app", "grpc/server.rs"],
        "below the composition root every door has an error of its own",
    ),
    ("tokio::fs", &[], "files are written by threads that may block"),
];

/// Words that the model may not say: it is plain values.
const NOT_IN_MODEL: &[&str] = &["tokio", "actix", "async ", "tonic", "prost", "tracing::", "metrics::"];

struct Source {
    /// The path below `src`.
    path: String,
    /// The top module that it belongs to.
    module: String,
    /// Its text without its tests.
    text: String,
}

#[test]
fn imports_point_strictly_down() {
    let layer: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(at, names)| names.iter().map(move |name| (*name, at)))
        .collect();
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = layer.get(source.module.as_str()) else {
            wrong.push(format!("{} belongs to no layer", source.path));
            continue;
        };
        for name in named_modules(&source.text) {
            let lower = layer.get(name.as_str()).is_some_and(|other| other < own);
            if name != source.module && !lower {
                wrong.push(format!("{} names crate::{name}", source.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_stay_where_they_belong() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (word, owners, why) in RESERVED {
            let may = owners
                .iter()
                .any(|owner| source.module == *owner || source.path == *owner);
            if !may && source.text.contains(word) {
                wrong.push(format!("{} says {word}: {why}", source.path));
            }
        }
        for word in NOT_IN_MODEL
            .iter()
            .filter(|word| source.module == "model" && source.text.contains(**word))
        {
            wrong.push(format!("{} says {word}: the model is plain values", source.path));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_and_functions_stay_small() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        if lines.len() > 400 {
            wrong.push(format!("{} has {} lines before its tests", source.path, lines.len()));
        }
        let mut begun: Option<(usize, String)> = None;
        for (at, line) in lines.iter().enumerate() {
            let indent: String = line.chars().take_while(|it| *it == ' ').collect();
            let code = line.trim_start();
            if [
                "fn ",
                "pub fn ",
                "async fn ",
                "pub async fn ",
                "pub const fn ",
                "const fn ",
            ]
            .iter()
            .any(|it| code.starts_with(it))
            {
                begun = Some((at, indent));
            } else if let Some((start, _)) = begun.take_if(|(_, indent)| *line == format!("{indent}}}"))
                && at - start > 70
            {
                wrong.push(format!(
                    "{}:{} has a function of {} lines",
                    source.path,
                    start + 1,
                    at - start
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The modules that `crate::…` paths name, nested `use crate::{…}` included.
fn named_modules(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            names.extend(top_names(list));
        } else {
            names.push(word(rest));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The first word of each element of a `use` list, at its own depth.
fn top_names(list: &str) -> Vec<String> {
    let (mut depth, mut expects, mut names) = (0, true, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expects = true,
            letter if expects && letter.is_alphabetic() => {
                names.push(word(&list[at..]));
                expects = false;
            }
            _ => {}
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|it| it.is_alphanumeric() || *it == '_')
        .collect()
}

/// Everything in the library; `main`, `lib` and the demo may name all.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    let mut sources = Vec::new();
    for file in files {
        let path = file
            .strip_prefix(&root)
            .expect("it is below src")
            .to_str()
            .expect("names are ASCII")
            .to_owned();
        let module = path
            .split(['/', '.'])
            .next()
            .expect("a path has a first part")
            .to_owned();
        if ["main", "lib", "demo"].contains(&module.as_str()) || path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).expect("it can be read");
        let text = text.split("#[cfg(test)]").next().expect("there is a first part");
        // Docs may name anything.
        let code: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        sources.push(Source {
            path,
            module,
            text: code.join("\n"),
        });
    }
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
}
