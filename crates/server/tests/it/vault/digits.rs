//! Values come back as they were written, digit for digit.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

use super::{Caller, Content, Over, key};
use crate::node::Node;

const TEXTS: &[&str] = &[
    "5",
    "0",
    "-0",
    "1",
    "1.0",
    "1.10",
    "1E5",
    "1e+5",
    "1e400",
    "-1e-400",
    "0.000000000000000000000000000001",
    "9007199254740993",
    "18446744073709551616",
    "123456789012345678901234567890",
    "-123456789012345678901234567890.123456789012345678901234567890",
    "\"\"",
    "null",
    "true",
    "false",
    "[]",
    "{}",
    r#"[null,[null,[null]],{"a":null}]"#,
    r#"{"a":1,"a":2,"":3,"\u0061":4}"#,
    "{ \"b\" :\n\t[ 1 ,\r\n 2 ] ,\"a\":{ } }",
    "\"Zoë 🦀 \u{2028}\u{7f}\u{85}\u{feff}e\u{301}\u{10ffff}\"",
    r#""\u00e9\uD83E\udd80\/\b\f\n\r\t\"\\\u0000\ufeff""#,
    r#""</script>""#,
    r#"{"value":1,"id":"another","version":9}"#,
];

#[tokio::test]
async fn texts_come_back_byte_for_byte_whatever_carries_them() {
    let node = Node::start().await;
    let deep = [
        format!("{}{}", "[".repeat(127), "]".repeat(127)),
        format!("{}null{}", "{\"a\":".repeat(127), "}".repeat(127)),
        format!("[{}1]", "0.5,".repeat(10_000)),
    ];
    let texts: Vec<&str> = TEXTS.iter().copied().chain(deep.iter().map(String::as_str)).collect();
    for caller in Caller::both(&node) {
        for (number, text) in texts.iter().enumerate() {
            caller.store(&format!("r{number:02}"), &key(1), text).await.unwrap();
        }
        for reader in [caller.clone(), caller.other()] {
            let found = reader.retrieve("*", &key(1)).await.unwrap();
            assert_eq!(found.len(), texts.len());
            for (record, text) in found.iter().zip(&texts) {
                assert_eq!(record.content, Content::Json((*text).to_owned()));
            }
        }
    }
}

#[tokio::test]
async fn what_stands_around_a_value_is_kept_where_it_is_part_of_the_text() {
    let node = Node::start().await;
    let grpc = Caller::new(&node, Over::Grpc, "a");
    let text = " \t\r\n[1]\n ";
    grpc.store("a", &key(1), text).await.unwrap();
    assert_eq!(grpc.text("a", &key(1)).await.as_deref(), Some(text));
    // In an array, what stands around a value is nobody's.
    let rest = grpc.other();
    assert_eq!(rest.text("a", &key(1)).await.as_deref(), Some("[1]"));
    let body = format!(r#"{{"id":"a","encryption_key":"{}"}}"#, key(1));
    let answer = rest.ask("retrieve", &body).await;
    assert!(answer.body.contains(&format!("\"value\":{text},")));
}

/// Any JSON text, with whatever spaces, escapes and digits.
fn any_json() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?";
    let character = prop_oneof![
        4 => "[^\\x00-\\x1f\"\\\\]",
        1 => "\\\\[\"\\\\/bfnrt]",
        1 => "\\\\u[0-9a-cefA-CEF][0-9a-fA-F]{3}",
        1 => "\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}",
    ];
    let string = prop::collection::vec(character, 0..12)
        .prop_map(|characters| format!("\"{}\"", characters.concat()));
    let leaf = prop_oneof![
        3 => number.prop_map(|number: String| number),
        3 => string.clone(),
        1 => "(true|false|null)".prop_map(|word: String| word),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let space = "[ \\t\\r\\n]{0,2}";
        let element = (space, inner, space).prop_map(|(a, value, b)| format!("{a}{value}{b}"));
        let member = (space, string.clone(), space, element.clone())
            .prop_map(|(a, name, b, value)| format!("{a}{name}{b}:{value}"));
        prop_oneof![
            prop::collection::vec(element, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

#[test]
fn any_text_comes_back_byte_for_byte() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (node, rest) = runtime.block_on(async {
        let node = Node::start().await;
        let rest = Caller::new(&node, Over::Rest, "a");
        (node, rest)
    });
    let mut runner = TestRunner::new(Config { cases: 300, ..Config::default() });
    let ran = runner.run(&any_json(), |text| {
        let found = runtime.block_on(async {
            rest.store("a", &key(1), &text).await.unwrap();
            rest.text("a", &key(1)).await
        });
        prop_assert_eq!(found, Some(text));
        Ok(())
    });
    ran.unwrap();
    let _entered = runtime.enter();
    drop(node);
}
