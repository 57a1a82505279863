//! Pages of each type, and what ends a list.

#![expect(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use super::*;

/// What follows a page: its body, headers, parameters and the elements of its list.
fn next(pages: &str, body: &str, headers: &[(&str, &str)], input: Value, length: usize) -> Result<Value, String> {
    let pages: Paging = toml::from_str(pages).unwrap();
    let tree: Tree<'_> = serde_json::from_str(body).unwrap();
    let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap()));
    let (headers, base) = (HeaderMap::from_iter(headers), Url::parse("https://api.test/v1/").unwrap());
    let Value::Object(input) = input else { return Err("parameters are an object".to_owned()) };
    let page = Page { tree: &tree, headers: &headers, input: &input, length, items: 7, base: &base };
    let next = page.next(&pages).map_err(|error| error.message.to_string())?;
    Ok(next.map_or(Value::Null, |next| {
        next.into_iter()
            .filter(|(name, _)| name != PAGE_ITEMS)
            .map(|(name, value)| (name, value.unwrap_or_default()))
            .collect()
    }))
}

#[test]
fn cursor_in_body_or_header_is_followed_until_it_is_empty() {
    let pages = "type = \"cursor\"\nnext = \"meta.next\"\nheader = \"After\"\nparameter = \"cursor\"";
    let of = |body: &str, headers: &[(&str, &str)], length| next(pages, body, headers, json!({"limit": 5}), length);
    assert_eq!(of(r#"{"meta":{"next":"a="}}"#, &[], 0), Ok(json!({"cursor": "a="})), "an empty page is no end");
    assert_eq!(of(r#"{"meta":{"next":7}}"#, &[], 5), Ok(json!({"cursor": "7"})));
    assert_eq!(of("{}", &[("After", "b")], 5), Ok(json!({"cursor": "b"})));
    for body in ["{}", r#"{"meta":{"next":""}}"#, r#"{"meta":{"next":null}}"#] {
        assert_eq!(of(body, &[], 5), Ok(Value::Null), "{body}");
    }
    assert!(of(r#"{"meta":{"next":{}}}"#, &[], 5).is_err() && of("{}", &[("After", "ü")], 5).is_err());
}

#[test]
fn cursor_of_a_query_replaces_all_parameters() {
    let pages = "type = \"cursor\"\nheader = \"After-Cursor\"\nparameter = \"cursor\"\nalone = true\nis_query = true";
    let of = |cursor: &str| next(pages, "[]", &[("After-Cursor", cursor)], json!({"limit": 50, "since": 1}), 50);
    // page=2&limit=50
    let expected = json!({"page": "2", "limit": "50", "since": null});
    assert_eq!(of("cGFnZT0yJmxpbWl0PTUw"), Ok(expected.clone()));
    assert_eq!(of("cGFnZT0yJmxpbWl0PTUw%3D"), Ok(expected), "percent-encoded");
    assert_eq!(of("opaque"), Ok(json!({"cursor": "opaque", "limit": null, "since": null})));
}

#[test]
fn numbered_pages_end_with_the_last_or_an_empty_one() {
    let pages = "type = \"page\"\nlast = \"pages\"";
    let of = |body: &str, input: Value, length| next(pages, body, &[], input, length);
    assert_eq!(of(r#"{"pages":2}"#, json!({}), 0), Ok(json!({"page": 2})));
    assert_eq!(of(r#"{"pages":"2"}"#, json!({"page": 1}), 3), Ok(json!({"page": 2})));
    assert_eq!(of(r#"{"pages":2}"#, json!({"page": 2}), 3), Ok(Value::Null));
    assert_eq!(of("{}", json!({"page": 2}), 3), Ok(json!({"page": 3})));
    assert_eq!(of("{}", json!({"page": 3}), 0), Ok(Value::Null));
    for pages in ["\"many\"", "-1", "[]", "1.5"] {
        assert!(of(&format!("{{\"pages\":{pages}}}"), json!({"page": 2}), 3).is_err(), "{pages}");
    }
}

#[test]
fn page_with_the_items_of_the_one_before_is_an_error() {
    for (pages, body) in [("type = \"page\"", "{}"), ("type = \"page\"\nlast = \"pages\"", r#"{"pages": 3}"#)] {
        let of = |items: Value, length| next(pages, body, &[], json!({"page": 3, "@items": items}), length);
        assert!(of(json!(7), 5).unwrap_err().contains("perhaps has no parameter page"), "{pages}");
        assert!(of(json!(8), 5).is_ok() && of(json!(7), 0).is_ok() && of(Value::Null, 5).is_ok(), "{pages}");
    }
    let total = "type = \"offset\"\ntotal = \"total\"";
    let of = |items| next(total, r#"{"total": 10}"#, &[], json!({"offset": 5, "@items": items}), 5);
    assert!(of(7).unwrap_err().contains("parameter offset") && of(8).is_ok());
}

#[test]
fn message_about_a_page_is_short() {
    let body = format!("{{\"pages\": \"{}\"}}", "x".repeat(100_000));
    let error = next("type = \"page\"\nlast = \"pages\"", &body, &[], json!({}), 1).unwrap_err();
    assert!(error.len() < 200, "{}", error.len());
}

#[test]
fn offset_counts_elements_of_the_list() {
    let pages = "type = \"offset\"\ntotal = \"total\"";
    let of = |body: &str, input: Value, length| next(pages, body, &[], input, length);
    assert_eq!(of(r#"{"total":250}"#, json!({}), 100), Ok(json!({"offset": 100})));
    assert_eq!(of(r#"{"total":250}"#, json!({"offset": 100}), 30), Ok(json!({"offset": 130})), "a short page");
    assert_eq!(of(r#"{"total":250}"#, json!({"offset": 200}), 50), Ok(Value::Null));
    assert_eq!(of("{}", json!({"offset": 200}), 0), Ok(Value::Null));
    assert!(of(r#"{"total":250}"#, json!({"offset": 200}), 0).is_err(), "the rest is missing");
    assert!(of(r#"{"total":-1}"#, json!({"offset": 200}), 50).is_err(), "the number is unknown");
}

#[test]
fn links_are_followed_inside_the_api_only() {
    let of = |link: &str| next("type = \"link\"", "[]", &[("Link", link)], json!({}), 1);
    let to = |url: &str| Ok(json!({ "@url": url }));
    for (link, url) in [
        (r#"<https://api.test/v1/x?page=2>; rel="next", <https://api.test/v1/x?page=9>; rel="last""#, "x?page=2"),
        (
            r#"<https://api.test/v1/x?page=0>; rel="prev", <https://api.test/v1/x?a=1,2;b>; rel="next last""#,
            "x?a=1,2;b",
        ),
        ("<x?page=3>; title=a; rel=next", "x?page=3"),
        ("</v1/x?page=4>;rel=\"next\"", "x?page=4"),
    ] {
        assert_eq!(of(link), to(&format!("https://api.test/v1/{url}")), "{link}");
    }
    assert_eq!(of(r#"<https://api.test/v1/x?page=9>; rel="last""#), Ok(Value::Null));
    for link in ["<https://evil.test/x>; rel=next", "<http://api.test/x>; rel=next", "<https://api.test/x; rel=next"] {
        assert!(of(link).is_err(), "{link}");
    }
    let in_body = |next_link: Value| {
        let body = json!({ "next": next_link }).to_string();
        next("type = \"link\"\nnext = \"next\"", &body, &[], json!({}), 1)
    };
    assert_eq!(in_body(json!("/v1/y?p=2")), to("https://api.test/v1/y?p=2"));
    assert_eq!(in_body(Value::Null), Ok(Value::Null));
    assert!(in_body(json!("https://evil.test/y")).is_err() && in_body(json!(["a"])).is_err());
    // What a lenient parser takes for a path, another takes for a host.
    assert_eq!(in_body(json!("https:evil.test/p")), to("https://api.test/v1/evil.test/p"));
}
