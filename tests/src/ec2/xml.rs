//! Documents of EC2, with as much around what matters as the real ones have.

use std::fmt::Write as _;

use super::Instance;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
const REQUEST: &str = "8f7724cf-496f-496e-8fe3-example";

/// `DescribeInstancesResponse`: one reservation an instance, as autoscaling makes them.
pub(super) fn instances(instances: &[&Instance], next: Option<&str>) -> String {
    let mut text = format!(
        "{HEAD}\n<DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n    \
         <requestId>{REQUEST}</requestId>\n    <reservationSet>\n"
    );
    for Instance { id, account, private_dns_name, tags } in instances {
        let (id, account, name) = (escaped(id), escaped(account), escaped(private_dns_name));
        let tags: String = tags
            .iter()
            .map(|(key, value)| format!("<item><key>{}</key><value>{}</value></item>", escaped(key), escaped(value)))
            .collect();
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "<item><reservationId>r-1</reservationId><ownerId>{account}</ownerId><groupSet/><instancesSet><item>\
             <instanceId>{id}</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name>\
             </instanceState><privateDnsName>{name}</privateDnsName><dnsName/><placement>\
             <availabilityZone>us-east-1a</availabilityZone></placement><privateIpAddress>10.0.0.1</privateIpAddress><tagSet><item><key>privateDnsName</key><value>tagged</value></item>{tags}</tagSet>\
             <networkInterfaceSet><item><ownerId>000000000000</ownerId><privateDnsName>of-an-interface\
             </privateDnsName></item></networkInterfaceSet></item></instancesSet></item>"
        );
    }
    text.push_str("    </reservationSet>\n");
    if let Some(token) = next {
        let _ = writeln!(text, "    <nextToken>{}</nextToken>", escaped(token));
    }
    text.push_str("</DescribeInstancesResponse>");
    text
}

/// `Response` with one error.
pub(super) fn error(code: &str, message: &str) -> String {
    format!(
        "{HEAD}\n<Response><Errors><Error><Code>{code}</Code><Message>{}</Message></Error></Errors>\
         <RequestID>{REQUEST}</RequestID></Response>",
        escaped(message)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
