//! One question to EC2: DescribeInstances, and its answer page by page (Amazon EC2 API Reference, "DescribeInstances").

use super::{
    Ec2Error, InstanceId,
    answer::{self, Found},
};
use crate::provider::aws::service::{self, Access, Pace};

const VERSION: &str = "2016-11-15";
/// Most instances of one page, as many as EC2 allows: it counts those too that the filter leaves out, so that smaller pages
/// may come empty one after another.
const PAGE: usize = 1000;
/// Most pages that are read.
const MAX_PAGES: usize = 10;
/// Largest page in bytes. An instance with all that hangs on it takes some 10 KiB.
const MAX_BYTES: usize = 4 << 20;

/// Asks for `ids`. Every page after the first waits for its own turn.
///
/// # Errors
///
/// When nothing is known about any of them.
pub(super) async fn describe(access: &Access, ids: &[InstanceId], pace: &Pace) -> Result<Found, Ec2Error> {
    let ready = access.ready().await?;
    let mut found = Found::in_region(&ready.region);
    let mut next = None;
    for page in 0..MAX_PAGES {
        if page > 0 {
            pace.turn().await;
        }
        let answer = service::post(access, &ready, &form(ids, next.as_deref()), MAX_BYTES).await?;
        if answer.status != 200 {
            let error = answer::failure(answer.status, &answer.body);
            if let Ec2Error::Refused { .. } = &error {
                access.forget().await;
            }
            return Err(error);
        }
        next = found.read(&answer.body)?;
        if next.is_none() {
            return Ok(found);
        }
    }
    Err(Ec2Error::Unintelligible("it has too many pages"))
}

/// The filter, unlike the list of ids that the action also takes, leaves out what there is not.
fn form(ids: &[InstanceId], next: Option<&str>) -> String {
    let mut form = format!("Action=DescribeInstances&Version={VERSION}&MaxResults={PAGE}&Filter.1.Name=instance-id");
    for (index, id) in ids.iter().enumerate() {
        form.push_str(&format!("&Filter.1.Value.{}={}", index + 1, id.as_str()));
    }
    if let Some(token) = next {
        let token = percent_encoding::utf8_percent_encode(token, percent_encoding::NON_ALPHANUMERIC);
        form.push_str(&format!("&NextToken={token}"));
    }
    form
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn ids_are_a_filter() {
        let ids = ["i-0123456789abcdef0", "i-01234567"].map(|text| InstanceId::parse(text).expect("an id"));
        expect![
            "Action=DescribeInstances&Version=2016-11-15&MaxResults=1000&Filter.1.Name=instance-id&Filter.1.Value.1=i-0123456789abcdef0&Filter.1.Value.2=i-01234567&NextToken=a%2Fb%3D%3D%26c"
        ]
        .assert_eq(&form(&ids, Some("a/b==&c")));
    }
}
