//! Operator's side of the dev STS in plain HTTP, and the few EC2 metadata paths that name a region.

use super::Sts;

/// The whole HTTP answer to a request head.
pub(super) fn answer(sts: &Sts, head: &str) -> String {
    let target = head.split(' ').nth(1).unwrap_or("/");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (status, body) = route(sts, path, query);
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn route(sts: &Sts, path: &str, query: &str) -> (&'static str, String) {
    const OK: &str = "200 OK";
    match path {
        "/admin/stats" => (OK, json(&sts.stats())),
        "/admin/requests" => (OK, json(&sts.requests())),
        "/admin/reset" => {
            sts.reset();
            (OK, "{}".to_owned())
        }
        "/admin/set" => match sts.behaviour().with_query(query) {
            Ok(behaviour) => {
                let body = json(&behaviour);
                sts.set(behaviour);
                (OK, body)
            }
            Err(error) => ("400 Bad Request", json(&serde_json::json!({"error": error.to_string()}))),
        },
        "/latest/api/token" => (OK, "dev-metadata-token".to_owned()),
        "/latest/meta-data/placement/region" => (OK, "us-east-1".to_owned()),
        "/latest/dynamic/instance-identity/document" => {
            (OK, r#"{"region":"us-east-1","accountId":"123456789012"}"#.to_owned())
        }
        _ => ("404 Not Found", "{}".to_owned()),
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("plain data")
}
