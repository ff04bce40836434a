//! What EC2 answers: `DescribeInstancesResponse`, or `Response/Errors/Error` (Amazon EC2 API Reference, "Error codes").

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError};

use super::{Ec2Error, Instance, InstanceId};
use crate::provider::aws::service::xml;

/// Every instance that was described, page by page.
#[derive(Debug)]
pub(super) struct Found {
    instances: HashMap<InstanceId, Arc<Instance>>,
    region: String,
}

/// Codes that mean "later" (Amazon EC2 API Reference, "Request throttling for the Amazon EC2 API").
const THROTTLING: [&str; 4] = ["EC2ThrottledException", "RequestLimitExceeded", "Throttling", "ThrottlingException"];
/// Most tags of an instance: EC2 allows 50, and has some of its own (Amazon EC2 User Guide, "Tag restrictions").
const MAX_TAGS: usize = 200;
/// Longest text that is taken for a name, owner or token, in bytes.
const MAX_TEXT: usize = 4096;

// === impl Found ===

impl Found {
    /// Nothing yet.
    pub(super) fn in_region(region: &str) -> Self {
        Self { instances: HashMap::new(), region: region.to_owned() }
    }

    /// What is known of `id` once every page has been read.
    pub(super) fn of(&self, id: &InstanceId) -> Result<Arc<Instance>, Ec2Error> {
        self.instances.get(id).cloned().ok_or_else(|| Ec2Error::NotFound { region: self.region.clone() })
    }

    /// Reads one page, and gives the token of the next.
    pub(super) fn read(&mut self, body: &[u8]) -> Result<Option<String>, Ec2Error> {
        let bad = Ec2Error::Unintelligible;
        let text = std::str::from_utf8(body).map_err(|_| bad("it is not UTF-8"))?;
        let page = page(text).map_err(|_| bad("it is not DescribeInstancesResponse"))?;
        for (id, instance) in page.instances {
            // Others than were asked for are nobody's business.
            let Some(id) = InstanceId::parse(&id) else { continue };
            match self.instances.entry(id) {
                Entry::Vacant(place) => drop(place.insert(Arc::new(instance))),
                Entry::Occupied(first) if **first.get() == instance => {}
                Entry::Occupied(_) => return Err(bad("an instance is described twice")),
            }
        }
        Ok(page.next)
    }
}

struct Page {
    instances: Vec<(String, Instance)>,
    next: Option<String>,
}

fn page(text: &str) -> Result<Page, XmlDecodeError> {
    xml::check_whole(text, "DescribeInstancesResponse")?;
    let mut document = Document::new(text);
    let mut root = document.root_element()?;
    if !root.start_el().matches("DescribeInstancesResponse") {
        return Err(XmlDecodeError::custom("another document"));
    }
    let (mut page, mut is_whole) = (Page { instances: Vec::new(), next: None }, false);
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().matches("reservationSet") {
            is_whole = true;
            while let Some(mut item) = tag.next_tag() {
                reservation(&mut item, &mut page.instances)?;
            }
        } else if tag.start_el().matches("nextToken") {
            page.next = Some(data(&mut tag)?).filter(|token| !token.is_empty());
        }
    }
    if is_whole { Ok(page) } else { Err(XmlDecodeError::custom("no reservations")) }
}

/// An owner may be told after the instances.
fn reservation(item: &mut ScopedDecoder<'_, '_>, all: &mut Vec<(String, Instance)>) -> Result<(), XmlDecodeError> {
    let (mut owner, first) = (String::new(), all.len());
    while let Some(mut tag) = item.next_tag() {
        if tag.start_el().matches("ownerId") {
            owner = data(&mut tag)?;
        } else if tag.start_el().matches("instancesSet") {
            while let Some(mut item) = tag.next_tag() {
                all.push(instance(&mut item)?);
            }
        }
    }
    for (_, instance) in &mut all[first..] {
        instance.owner.clone_from(&owner);
    }
    Ok(())
}

fn instance(item: &mut ScopedDecoder<'_, '_>) -> Result<(String, Instance), XmlDecodeError> {
    let (mut id, mut found) = (String::new(), Instance::default());
    while let Some(mut tag) = item.next_tag() {
        let name = tag.start_el().local().to_owned();
        match name.as_str() {
            "instanceId" => id = data(&mut tag)?,
            "privateDnsName" => found.private_dns_name = data(&mut tag)?,
            "privateIpAddress" => found.private_ip = data(&mut tag)?,
            "imageId" => found.image_id = data(&mut tag)?,
            "placement" => {
                while let Some(mut tag) = tag.next_tag() {
                    if tag.start_el().matches("availabilityZone") {
                        found.zone = data(&mut tag)?;
                    }
                }
            }
            "tagSet" => {
                while let Some(mut item) = tag.next_tag() {
                    found.tags.push(key_and_value(&mut item)?);
                }
            }
            _ => {}
        }
    }
    if found.tags.len() > MAX_TAGS {
        return Err(XmlDecodeError::custom("too many tags"));
    }
    Ok((id, found))
}

fn key_and_value(item: &mut ScopedDecoder<'_, '_>) -> Result<(String, String), XmlDecodeError> {
    let (mut key, mut value) = (String::new(), String::new());
    while let Some(mut tag) = item.next_tag() {
        if tag.start_el().matches("key") {
            key = data(&mut tag)?;
        } else if tag.start_el().matches("value") {
            value = data(&mut tag)?;
        }
    }
    Ok((key, value))
}

fn data(tag: &mut ScopedDecoder<'_, '_>) -> Result<String, XmlDecodeError> {
    xml::data(tag, MAX_TEXT)
}

/// What an answer with a status other than 200 means.
pub(super) fn failure(status: u16, body: &[u8]) -> Ec2Error {
    let code = std::str::from_utf8(body).ok().and_then(code).unwrap_or_else(|| "Unknown".to_owned());
    match status {
        429 => Ec2Error::Throttled,
        400.. if THROTTLING.contains(&code.as_str()) => Ec2Error::Throttled,
        400..=499 => Ec2Error::Refused { status, code },
        500..=599 => Ec2Error::Unavailable { cause: "server_error" },
        300..=399 => Ec2Error::Unavailable { cause: "redirect" },
        _ => Ec2Error::Unintelligible("the HTTP status is none that EC2 gives"),
    }
}

fn code(body: &str) -> Option<String> {
    let mut document = Document::new(body);
    let mut root = document.root_element().ok()?;
    if !root.start_el().matches("Response") {
        return None;
    }
    while let Some(mut errors) = root.next_tag() {
        if !errors.start_el().matches("Errors") {
            continue;
        }
        while let Some(mut error) = errors.next_tag() {
            while let Some(mut member) = error.next_tag() {
                if member.start_el().matches("Code") {
                    return xml::code(&mut member);
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "i-0123456789abcdef0";

    fn page_of(reservations: &str) -> String {
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>{reservations}</DescribeInstancesResponse>"#
        )
    }

    fn one(name: &str) -> String {
        format!(
            "<item><reservationId>r-1</reservationId><ownerId>123456789012</ownerId><groupSet/><instancesSet><item><instanceId>{ID}</instanceId><imageId>ami-1</imageId><privateDnsName>{name}</privateDnsName><tagSet><item><key>instanceId</key><value>i-01234567</value></item></tagSet><networkInterfaceSet><item><privateDnsName>other</privateDnsName></item></networkInterfaceSet></item></instancesSet></item>"
        )
    }

    #[track_caller]
    fn check(bodies: &[String], expected: Result<&str, &str>) {
        let mut found = Found::in_region("eu-west-1");
        let read = bodies.iter().try_for_each(|body| found.read(body.as_bytes()).map(drop));
        let name = read.and_then(|()| found.of(&InstanceId::parse(ID).expect("an id")));
        let words = name.as_ref().map(|instance| instance.private_dns_name.as_str()).map_err(Ec2Error::reason);
        assert_eq!(words, expected, "{bodies:?}");
        assert!(name.is_err() || name.is_ok_and(|instance| instance.owner == "123456789012"));
    }

    #[test]
    fn an_instance_is_found_in_its_place_alone() {
        let set = |items: &str| page_of(&format!("<reservationSet>{items}</reservationSet>"));
        check(&[set(&one("ip-10-0-0-1.ec2.internal"))], Ok("ip-10-0-0-1.ec2.internal"));
        check(&[set("")], Err("node_not_found"));
        check(&[set(&one(""))], Ok(""));
        check(&[set(&one("").replace("<privateDnsName></privateDnsName>", ""))], Ok(""));
        check(&[set(&one("a").replace(ID, "i-99999999999999999"))], Err("node_not_found"));
        check(&[set(&one("a&amp;b"))], Ok("a&b"));
        check(&[set(""), set(&one("a"))], Ok("a"));
        check(&[set(&one("a")), set(&one("a"))], Ok("a"));
        check(&[set(&one("a")), set(&one("b"))], Err("ec2_unintelligible"));
        check(&[page_of("")], Err("ec2_unintelligible"));
        check(&[set(&one("a"))[..250].to_owned()], Err("ec2_unintelligible"));
        check(&[set(&one("a")).replace("<reservationSet>", "<reservationSet><")], Err("ec2_unintelligible"));
        check(&["{}".to_owned()], Err("ec2_unintelligible"));
        check(&[String::new()], Err("ec2_unintelligible"));
        check(&[set(&one("a")).replace("DescribeInstances", "DescribeImages")], Err("ec2_unintelligible"));
        check(&[set(&one(&"a".repeat(5000)))], Err("ec2_unintelligible"));
    }

    #[test]
    fn the_next_page_has_a_token() {
        let mut found = Found::in_region("eu-west-1");
        let mut next = |rest: &str| found.read(page_of(&format!("<reservationSet/>{rest}")).as_bytes());
        assert_eq!(next("<nextToken>a/b==</nextToken>"), Ok(Some("a/b==".to_owned())));
        assert_eq!(next("<nextToken></nextToken>"), Ok(None));
        assert_eq!(next(""), Ok(None));
    }

    #[test]
    fn errors_by_their_code() {
        #[track_caller]
        fn check(status: u16, code: &str, expected: &str) {
            let body = format!(
                "<Response><Errors><Error><Code>{code}</Code><Message>&lt;Code&gt;RequestLimitExceeded</Message></Error></Errors><RequestID>r</RequestID></Response>"
            );
            let error = failure(status, body.as_bytes());
            assert_eq!(error.reason(), expected, "{status} {code}");
            assert!(error.is_retryable());
        }
        check(503, "RequestLimitExceeded", "ec2_throttled");
        check(400, "Throttling", "ec2_throttled");
        check(429, "x", "ec2_throttled");
        check(403, "UnauthorizedOperation", "ec2_refused");
        check(401, "AuthFailure", "ec2_refused");
        check(503, "Unavailable", "ec2_unavailable");
        check(500, "InternalError", "ec2_unavailable");
        check(302, "", "ec2_unavailable");
        check(204, "", "ec2_unintelligible");
        check(403, "<b/>", "ec2_refused");
        assert_eq!(failure(403, b"{").to_string(), failure(403, b"<Response/>").to_string());
    }
}
