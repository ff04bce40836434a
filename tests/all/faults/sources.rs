//! A thousand versions of aws-auth that nobody can have meant, one after another.

use std::{sync::Arc, time::Duration};

use tests::{
    kubernetes::{Kubernetes, garbled},
    sts::{ALICE, BOB, EVE},
};

use crate::support::{CLUSTER, fresh, setup, sts, until, until_within};

const DEVELOPERS: &str = "\
# the developers
- rolearn: arn:aws:iam::123456789012:role/Developers
  username: dev:{{SessionName}}
  groups: [developers]
- rolearn: arn:aws:iam::123456789012:role/Others
  username: other:{{SessionName}}
  groups:
  - others
";
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_garbled_config_maps_let_nobody_in_and_the_next_good_one_is_in_force() {
    let kubernetes = Kubernetes::start().await.expect("a fake");
    kubernetes.put_aws_auth(DEVELOPERS, "");
    let sts = sts().await;
    let text = format!("clusterID: {CLUSTER}\nserver:\n  backendMode: [EKSConfigMap]\n");
    let server = setup(&sts, &text).argument("--master").argument(&kubernetes.url()).start().await.expect("a server");
    let server = Arc::new(server);
    let name = async |person| server.review(&fresh(person)).await.expect("an answer").username();
    until(async || name(&ALICE).await.as_deref() == Some("dev:alice")).await;
    let before = server.resident_kib().expect("it runs");
    for nth in 0..1000 {
        let text = garbled(DEVELOPERS, nth);
        // Now in the one document, now in the other, now in both.
        let (roles, users) = [(text.as_str(), ""), (DEVELOPERS, &text), (&text, &text)][nth % 3];
        kubernetes.put_aws_auth(roles, users);
        if nth % 20 == 0 {
            let answer = server.review(&fresh(&ALICE)).await.expect("an answer");
            assert!([200, 503].contains(&answer.status), "{nth}: {}", answer.text);
            assert!(answer.groups().iter().all(|group| !group.starts_with("system:")), "{nth}: {}", answer.text);
            assert_eq!((name(&BOB).await, name(&EVE).await), (None, None), "{nth}: they are in none of them");
        }
        if nth % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    kubernetes.put_aws_auth(&DEVELOPERS.replace("dev:", "engineer:"), "");
    // Most of the others are read first, one after another.
    let limit = Duration::from_secs(60);
    until_within(limit, async || name(&ALICE).await.as_deref() == Some("engineer:alice")).await;
    kubernetes.put_aws_auth("", "- {userarn: 'arn:aws:iam::123456789012:user/bob', username: bob}");
    until(async || name(&BOB).await.as_deref() == Some("bob")).await;
    assert_eq!((name(&ALICE).await, name(&EVE).await), (None, None));
    let after = server.resident_kib().expect("it runs");
    assert!(after < before + 32 * 1024, "{before} KiB before, {after} KiB after");
}
