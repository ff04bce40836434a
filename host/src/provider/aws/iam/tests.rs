//! Whom IAM is asked for, and whom not.

use std::{
    io, mem,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use aws_credential_types::Credentials;
use futures_util::FutureExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::*;
use crate::caller::made_up;

/// Whoever `arn` is, with an id that is made up.
pub(super) fn principal(arn: &str) -> Principal {
    Principal::of(&caller(arn)).expect("a role or user")
}

fn caller(arn: &str) -> Caller {
    made_up::caller(&arn.parse().expect("an ARN"), SystemTime::UNIX_EPOCH)
}

struct Nobody;

impl Observer for Nobody {
    fn called(&self, result: &'static str, _: Duration) {
        panic!("nobody is asked: {result}");
    }
}

#[tokio::test]
async fn whoever_is_no_role_or_user_is_not_asked_for() {
    let iam = Iam::new(Settings::default(), || SystemTime::UNIX_EPOCH, Box::new(Nobody));
    for arn in [
        "arn:aws:iam::123456789012:root",
        "arn:aws:sts::123456789012:federated-user/alice",
        "arn:aws:iam::123456789012:role/Dev",
        "arn:aws-cn:iam::123456789012:user/alice",
        "arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/i-0123456789abcdef0",
        "acs:ram::1234567890123456:user/alice",
        "acs:ram::1234567890123456:assumed-role/dev/alice",
    ] {
        let LookUp { tags, source } = iam.look_up(&caller(arn), Asker::Login).await;
        assert_eq!((tags, source), (Err(IamError::NoPrincipal), Source::Nobody), "{arn}");
    }
}

/// Told by who is waited for: nothing here ever asks.
#[tokio::test]
async fn look_ups_that_no_login_waits_for_leave_half_to_logins() {
    let config = Config { qps: 1, burst: 4, ..Config::default() };
    let iam = Iam::new(Settings { config, ..Settings::default() }, || SystemTime::UNIX_EPOCH, Box::new(Nobody));
    let is_waited_for = |name: &str, asker| {
        let arn = format!("arn:aws:iam::123456789012:user/{name}");
        assert!(iam.look_up(&caller(&arn), asker).now_or_never().is_none(), "{name}");
        iam.0.waiting.board(principal(&arn)).expect("room").0.is_joined
    };
    assert!(["a", "b"].into_iter().all(|name| is_waited_for(name, Asker::Aside)));
    assert!(["c", "d"].into_iter().all(|name| !is_waited_for(name, Asker::Aside)));
    assert!(["e", "f", "g", "h"].into_iter().all(|name| is_waited_for(name, Asker::Login)));
}

/// The one user whom the IAM of these tests knows.
const KNOWN: &str = "arn:aws:iam::123456789012:user/alice";

struct Anybody;

impl Observer for Anybody {
    fn called(&self, _: &'static str, _: Duration) {}
}

/// An IAM, asked by keys that do not say whose they are, and how often it was.
async fn served() -> (Iam, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket, Arc::clone(&count)));
        }
    });
    let config = Config { endpoint: service::Endpoint::try_from(url).ok(), ..Config::default() };
    let mut iam = Iam::new(Settings { config, ..Settings::default() }, || SystemTime::UNIX_EPOCH, Box::new(Anybody));
    let shared = Arc::get_mut(&mut iam.0).expect("nobody else has it");
    let key = || Ok(Credentials::new("AKIDEXAMPLE", "secret", None, None, "test"));
    shared.lanes = mem::take(&mut shared.lanes).into_iter().map(|lane| lane.by(key)).collect();
    (iam, asked)
}

async fn serve(socket: TcpStream, asked: Arc<AtomicUsize>) -> io::Result<()> {
    let (mut socket, mut length) = (BufReader::new(socket), 0_usize);
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(("content-length", value)) = line.to_ascii_lowercase().split_once(':') {
            length = value.trim().parse().expect("a number");
        }
    }
    let mut form = vec![0; length];
    socket.read_exact(&mut form).await?;
    asked.fetch_add(1, Relaxed);
    let known = principal(KNOWN);
    let (status, body) = if form.ends_with(format!("UserName={}", known.name()).as_bytes()) {
        let tags = "<Tags><member><Key>team</Key><Value>db</Value></member></Tags>";
        let user = format!("<User><Arn>{KNOWN}</Arn><UserId>{}</UserId>{tags}</User>", known.id());
        ("200 OK", format!("<GetUserResponse><GetUserResult>{user}</GetUserResult></GetUserResponse>"))
    } else {
        ("404 Not Found", "<ErrorResponse><Error><Code>NoSuchEntity</Code></Error></ErrorResponse>".to_owned())
    };
    let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all(format!("{head}{body}").as_bytes()).await
}

/// Before anybody of Herald's own account was found, and after.
#[tokio::test]
async fn a_crowd_of_an_account_that_cannot_be_asked_for_keeps_nobody_waiting() {
    let (iam, asked) = served().await;
    let stranger = |number: usize| caller(&format!("arn:aws:iam::999999999999:user/u{number}"));
    let crowd: Vec<_> = (0..600)
        .map(|number| {
            let (iam, stranger) = (iam.clone(), stranger(number));
            tokio::spawn(async move { iam.look_up(&stranger, Asker::Login).await })
        })
        .collect();
    let spent = async {
        while asked.load(Relaxed) < 10 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), spent).await.expect("what may be asked at once");

    let found = timeout(Duration::from_secs(60), iam.look_up(&caller(KNOWN), Asker::Login)).await.expect("in his turn");
    assert_eq!(found.tags.expect("tags").0.get("team").map(String::as_str), Some("db"));
    for task in crowd {
        let found = task.await.expect("no panic").tags;
        let expected = [IamError::NotFound, IamError::OtherAccount, IamError::Overloaded];
        assert!(found.as_ref().is_err_and(|error| expected.contains(error)), "{found:?}");
    }
    // Some twenty, and five more for each second that a slow machine takes.
    let calls = asked.load(Relaxed);
    assert!(calls < 300, "they wait no longer: {calls}");
    let LookUp { tags, source } = iam.look_up(&caller("arn:aws:iam::999999999999:user/late"), Asker::Login).await;
    assert_eq!((tags, source), (Err(IamError::OtherAccount), Source::Nobody));
    assert_eq!(asked.load(Relaxed), calls);
}

#[test]
fn rates_are_bounded() {
    #[track_caller]
    fn check(qps: u32, burst: u32, expected: Result<(), &str>) {
        let config = Config { qps, burst, ..Config::default() };
        assert_eq!(config.check().map_err(|error| error.key), expected);
    }
    check(5, 10, Ok(()));
    check(1, 1000, Ok(()));
    check(0, 10, Err("iam.qps"));
    check(1001, 10, Err("iam.qps"));
    check(5, 0, Err("iam.burst"));
    check(5, 1001, Err("iam.burst"));
}
