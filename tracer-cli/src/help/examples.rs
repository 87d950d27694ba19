//! Whoever types what the pages show must not be told that it is wrong.

use std::{fs, path::PathBuf};

use crate::{cli, error::Failure, list, tools};

/// The README, and all that is in docs.
fn pages() -> Vec<(String, String)> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let in_folder =
        |folder: &str| fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let files = in_folder("docs").chain(in_folder("docs/tools")).chain([root.join("README.md")]);
    let files = files.filter(|file| file.extension().is_some_and(|end| end == "md"));
    files.map(|file| (file.display().to_string(), fs::read_to_string(&file).unwrap())).collect()
}

/// The words of a shell's command up to `--`, with 1 for whatever it would put in.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let word = words.last_mut().unwrap();
        match (letter, quote) {
            (end, Some(open)) if end == open => quote = None,
            ('$', None | Some('"')) => {
                // A substitution, or a variable's name.
                let is_long = letters.peek() == Some(&'(');
                while letters
                    .next_if(|c| is_long || c.is_alphanumeric() || *c == '$')
                    .is_some_and(|c| c != ')')
                {}
                word.push('1');
            }
            (_, Some(_)) => word.push(letter),
            ('\'' | '"', None) => quote = Some(letter),
            (' ', None) if word == "--" => break,
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(String::new()),
            ('\n' | '|' | ';' | '&' | '#', None) => break,
            ('<' | '>', None) => {
                // The descriptor before it is no word.
                word.clear();
                break;
            }
            _ => word.push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A page's command lines that begin with `tracer` or an alias: each line's rest, and what follows it.
fn commands(page: &str) -> impl Iterator<Item = Vec<String>> {
    let lines =
        page.match_indices("\n    ").map(|(at, indent)| page[at + indent.len()..].replace("\n    ", "\n"));
    lines.filter_map(|line| {
        let line = line.strip_prefix("# ").unwrap_or(&line);
        let start =
            line.lines().next()?.find("tracer ").filter(|&at| at == 0 || line[..at].ends_with("; "))?;
        let words = words(&line[start + "tracer ".len()..]);
        let is_synopsis = words.iter().any(|word| word.starts_with('['));
        (!is_synopsis).then_some(words)
    })
}

#[test]
fn what_pages_show_can_be_typed() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for (file, page) in pages() {
        for mut words in commands(&page) {
            let Some(tool) = words.first().and_then(|name| tools::find(name)) else { continue };
            if words.last().is_some_and(|word| word == "--") {
                words.push("true".to_owned());
            }
            checked += 1;
            let args = words.iter().map(Into::into).collect();
            // What a machine has not, such as a disk, is no fault of the page.
            if let Err(error) = cli::read(tool, args).map(drop)
                && (error.is::<clap::Error>() || matches!(error.downcast_ref(), Some(Failure::Usage(_))))
            {
                wrong.push(format!("{file}: {words:?}: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 100, "only {checked} were found");
}

#[test]
fn words_are_those_of_a_shell() {
    let of = |text: &str| words(text).join("+");
    assert_eq!(of("a -n 'b c' --x=\"d 'e'\" | jq"), "a+-n+b c+--x=d 'e'");
    assert_eq!(of("a -p $(pidof -s x) -o \"$tree/y\" 3>ready &"), "a+-p+1+-o+1/y");
    assert_eq!(of("a \"b &&\n c\" -- sh -c 'x | y'"), "a+b &&\n c+--");
    assert_eq!(of("a -p $$; b"), "a+-p+1");
}

#[test]
fn the_readme_has_the_list_of_tools() {
    let list: String =
        list::text_list().lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
    assert!(
        super::README.contains(&format!("\n    # tracer list\n{list}\n")),
        "not as `tracer list` is now: {list}"
    );
}
