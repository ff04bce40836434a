//! One way of asking a service: whose credentials, which region, which endpoint. Loaded when first needed, and again before
//! the credentials end.
//!
//! A load may run a program, which may have no end. So it has a thread of its own, and there is one at a time, which those wait for
//! who come while it runs; what failed is not tried again at once.

use std::{
    env,
    sync::{
        Arc, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use aws_credential_types::Credentials;
use tokio::{
    sync::{Mutex, oneshot},
    time::timeout_at,
};

use super::{CallError, Endpoint, Roles, Service, SourceArn};
use crate::{
    caller::{AccountId, Arn},
    provider::{
        aws::{
            Partition,
            credentials::{self, LoadError, Request, Role, Session},
        },
        http::Client,
    },
};

/// One lane's credentials and endpoint.
pub(in crate::provider::aws) struct Access {
    service: &'static Service,
    role: Option<Arn>,
    source: Option<SourceArn>,
    region: Option<String>,
    endpoint: Option<Endpoint>,
    partition: Partition,
    clock: fn() -> SystemTime,
    pub(super) http: Client,
    fetch: Fetch,
    slot: Mutex<Slot>,
    /// The newest that was loaded, whether or not the service takes it.
    latest: std::sync::Mutex<Option<Arc<Loaded>>>,
    is_failing: AtomicBool,
}

/// Where credentials come from. May take long.
type Fetch = Arc<dyn Fn(&Request, SystemTime) -> Result<Session, LoadError> + Send + Sync>;

#[derive(Default)]
struct Slot {
    loaded: Option<Arc<Loaded>>,
    loading: Option<Loading>,
    /// When the last load failed, and why.
    failed: Option<(Instant, CallError)>,
    /// The service did not take what is loaded.
    is_refused: bool,
    /// When that was last minded.
    forgotten: Option<Instant>,
}

/// A load under way.
struct Loading {
    since: Instant,
    session: oneshot::Receiver<Result<Session, LoadError>>,
}

/// Everything that a call needs.
pub(in crate::provider::aws) struct Loaded {
    pub(super) credentials: Credentials,
    /// The one that is signed for.
    pub(in crate::provider::aws) region: String,
    /// `https://ec2.eu-west-1.amazonaws.com`, without a path.
    pub(super) url: String,
    /// Whose the credentials are, as soon as that is known.
    account: OnceLock<AccountId>,
    since: SystemTime,
    until: SystemTime,
}

/// Names another endpoint of every service that has no variable of its own (AWS SDKs and Tools Reference Guide,
/// "Service-specific endpoints").
const EVERY_ENDPOINT: &str = "AWS_ENDPOINT_URL";
/// How long before their end credentials are renewed.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// How long credentials are taken as they are: somebody may change the file they are in.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// For how long credentials are used that come close to their end already.
const SHORTEST: Duration = Duration::from_secs(10);
/// How long a load is waited for, from its beginning; less than a call may take. It goes on beside those who come later.
const WAIT: Duration = Duration::from_secs(4);
/// Longest time of a load.
const LOAD: Duration = Duration::from_secs(60);
/// How long after a failed load the next one begins at the earliest.
const PAUSE: Duration = Duration::from_secs(5);
/// For how long what is loaded for credentials that a service did not take is kept, whatever it says: it may refuse what is
/// asked for and not who asks, and callers choose what that is.
const TRIED: Duration = Duration::from_secs(60);

// === impl Access ===

impl Access {
    /// One for each lane of `roles`, in order. `clock` dates signatures.
    pub(in crate::provider::aws) fn of_all(
        service: &'static Service,
        roles: &Roles,
        endpoint: Option<&Endpoint>,
        partition: Partition,
        clock: fn() -> SystemTime,
    ) -> Vec<Self> {
        roles.lanes().map(|role| Self::new(service, role, roles, endpoint, partition, clock)).collect()
    }

    fn new(
        service: &'static Service,
        role: Option<Arn>,
        roles: &Roles,
        endpoint: Option<&Endpoint>,
        partition: Partition,
        clock: fn() -> SystemTime,
    ) -> Self {
        Self {
            service,
            role,
            source: roles.source_arn.clone(),
            region: roles.region.as_ref().map(ToString::to_string),
            endpoint: endpoint.cloned(),
            partition,
            clock,
            http: Client::new(),
            fetch: Arc::new(credentials::load),
            slot: Mutex::default(),
            latest: std::sync::Mutex::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    pub(super) fn service(&self) -> &'static Service {
        self.service
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// Whether it may tell of what is of `account`: of the only one that it can, or of any while nobody knows which that is.
    ///
    /// A role's ARN tells, most sources of credentials do, and else [`Loaded::belongs_to`]. Nothing is loaded or called.
    pub(in crate::provider::aws) fn may_tell_of(&self, account: &AccountId) -> bool {
        if let Some(role) = &self.role {
            return role.account_id() == account;
        }
        let latest = self.latest();
        // Credentials that have ended may be followed by another account's.
        let lasting = latest.as_ref().filter(|latest| self.now() < latest.until);
        lasting.and_then(|latest| latest.account.get()).is_none_or(|own| own == account)
    }

    /// Nothing under this lock panics half-way.
    fn latest(&self) -> MutexGuard<'_, Option<Arc<Loaded>>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Credentials that last. Those that should be renewed are good until they end, and nobody is refused if there are no new
    /// ones before. These are waited for only where those at hand may long be of no use: they do not say when they end, or the
    /// service did not take them.
    pub(in crate::provider::aws) async fn ready(&self) -> Result<Arc<Loaded>, CallError> {
        let mut slot = self.slot.lock().await;
        let (known, now) = (slot.loaded.clone(), self.now());
        if let Some(ready) = known.as_ref().filter(|known| !slot.is_refused && known.is_fresh(now)) {
            return Ok(Arc::clone(ready));
        }
        let good = known.filter(|known| known.credentials.expiry().is_none_or(|end| now < end));
        let ends = good.as_ref().is_some_and(|good| good.credentials.expiry().is_some());
        let wait = if ends && !slot.is_refused { Duration::ZERO } else { WAIT };
        let renewed = self.renewed(&mut slot, wait).await;
        match good {
            Some(good) => Ok(renewed.unwrap_or(good)),
            None => renewed,
        }
    }

    /// New credentials, one load at a time, which is waited for until `wait` after its beginning.
    async fn renewed(&self, slot: &mut Slot, wait: Duration) -> Result<Arc<Loaded>, CallError> {
        if let Some((_, error)) = slot.failed.as_ref().filter(|(since, _)| since.elapsed() < PAUSE) {
            return Err(error.clone());
        }
        let loading = slot.loading.get_or_insert_with(|| self.load());
        let until = loading.since + wait;
        let Ok(session) = timeout_at(until.into(), &mut loading.session).await else {
            return Err(CallError::Credentials("they take long to load".to_owned()));
        };
        slot.loading = None;
        let session = session.map_err(|_| CallError::Credentials("loading them has failed".to_owned()));
        let session = session.and_then(|session| session.map_err(|error| CallError::Credentials(in_one_line(&error))));
        let loaded = session.and_then(|session| self.loaded(session)).map(Arc::new);
        if let (Err(CallError::Credentials(why) | CallError::Endpoint(why)), Some(_), None) =
            (&loaded, &slot.loaded, &slot.failed)
        {
            tracing::warn!("the credentials by which {} are looked up cannot be renewed: {why}", self.service.what);
        }
        slot.failed = loaded.as_ref().err().map(|error| (Instant::now(), error.clone()));
        if let Ok(loaded) = &loaded {
            (slot.loaded, slot.is_refused) = (Some(Arc::clone(loaded)), false);
            *self.latest() = Some(Arc::clone(loaded));
        }
        loaded
    }

    /// The service does not take the credentials: the next call loads them anew, once in a while. If that fails it goes
    /// on with these, since the service may have refused what was asked for and not who asks.
    pub(in crate::provider::aws) async fn forget(&self) {
        let mut slot = self.slot.lock().await;
        if slot.forgotten.is_none_or(|then| then.elapsed() >= TRIED) {
            slot.is_refused = true;
            slot.forgotten = Some(Instant::now());
        }
    }

    /// Tells the operator when calls begin to fail, and when they work again: the reason's label, and its words.
    pub(in crate::provider::aws) fn note(&self, failure: Option<(&'static str, &dyn std::error::Error)>) {
        let was_failing = self.is_failing.swap(failure.is_some(), Ordering::Relaxed);
        let role = self.role.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        let what = self.service.what;
        match failure {
            Some((reason, error)) if !was_failing => {
                tracing::warn!(reason, role, "{what} cannot be looked up: {error}");
            }
            Some((reason, error)) => tracing::debug!(reason, role, "{what} cannot be looked up: {error}"),
            None if was_failing => tracing::info!(role, "{what} can be looked up again"),
            None => {}
        }
    }

    /// Begins to load. A thread that is not to be had ends it at once.
    fn load(&self) -> Loading {
        let role = self.role.clone().map(|arn| Role {
            arn,
            external_id: None,
            session_name: None,
            forward_session_name: false,
            source_arn: self.source.as_ref().map(|source| (source.arn().to_owned(), source.account().to_owned())),
        });
        let (region, within) = (self.region.clone(), Some(LOAD));
        let request = Request { region, role, long: true, within, ..Request::default() };
        let (fetch, now) = (Arc::clone(&self.fetch), self.now());
        let (sender, session) = oneshot::channel();
        let _ = thread::Builder::new().name("credentials".to_owned()).spawn(move || {
            let _ = sender.send(fetch(&request, now));
        });
        Loading { since: Instant::now(), session }
    }

    fn loaded(&self, session: Session) -> Result<Loaded, CallError> {
        let now = self.now();
        let url = match self.endpoint.clone().map_or_else(|| self.of_environment(), |endpoint| Ok(Some(endpoint)))? {
            Some(endpoint) => endpoint.as_str().to_owned(),
            None => format!("https://{}", (self.service.host)(&session, self.partition)?),
        };
        let region = (self.service.region)(&session, self.partition);
        let end = session.credentials.expiry().map_or(now + LONGEST, |end| (end - MARGIN).min(now + LONGEST));
        let account = self.account(&session.credentials).map_or_else(OnceLock::new, OnceLock::from);
        let until = end.max(now + SHORTEST);
        Ok(Loaded { url, region, account, since: now, until, credentials: session.credentials })
    }

    /// Whose `credentials` are: as they say themselves, or as was learned of the same key.
    fn account(&self, credentials: &Credentials) -> Option<AccountId> {
        let told = credentials.account_id().and_then(|id| id.as_str().parse::<AccountId>().ok());
        told.or_else(|| {
            let latest = self.latest();
            let same =
                latest.as_ref().filter(|latest| latest.credentials.access_key_id() == credentials.access_key_id());
            same.and_then(|latest| latest.account.get().cloned())
        })
    }

    fn of_environment(&self) -> Result<Option<Endpoint>, CallError> {
        let set = |name: &'static str| Some((name, env::var(name).ok().filter(|text| !text.trim().is_empty())?));
        let found = [self.service.variable, EVERY_ENDPOINT].into_iter().find_map(set);
        let Some((name, text)) = found else { return Ok(None) };
        let endpoint = Endpoint::try_from(text).map_err(|error| CallError::Endpoint(format!("{name}: {error}")))?;
        Ok(Some(endpoint))
    }
}

// === impl Loaded ===

impl Loaded {
    /// Whether they are taken as they are at `now`. Those that were loaded later than that are from before the clock was set
    /// back, and nobody knows how old.
    fn is_fresh(&self, now: SystemTime) -> bool {
        self.since <= now && now < self.until
    }

    /// The service's answer to these credentials was about `account`, as it only ever is about their own.
    pub(in crate::provider::aws) fn belongs_to(&self, account: &AccountId) {
        let _ = self.account.set(account.clone());
    }
}

fn in_one_line(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use std::sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
        mpsc,
    };

    use tokio::time::timeout;

    use super::*;
    use crate::provider::aws::service::RoleArn;

    const LONG: Duration = Duration::from_secs(60);

    impl Access {
        /// The same by the credentials that `fetch` gives.
        pub(in crate::provider::aws) fn by(
            self,
            fetch: impl Fn() -> Result<Credentials, LoadError> + Send + Sync + 'static,
        ) -> Self {
            let region = "eu-west-1";
            let session = move |credentials| Session {
                credentials,
                region: region.to_owned(),
                fips: false,
                dual_stack: false,
                asked: false,
            };
            Self { fetch: Arc::new(move |_, _| fetch().map(session)), ..self }
        }
    }

    /// The first way of asking by `roles`.
    fn first(roles: &Roles) -> Access {
        let all = Access::of_all(&TEST, roles, None, Partition::Aws, || SystemTime::UNIX_EPOCH);
        all.into_iter().next().expect("there is one")
    }

    fn key(id: &str) -> Credentials {
        Credentials::new(id, "secret", None, None, "test")
    }

    /// Asks `fetch` for credentials, and how often it has.
    fn access(fetch: impl Fn() -> Result<(), LoadError> + Send + Sync + 'static) -> (Access, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let access = first(&Roles::default()).by(move || {
            count.fetch_add(1, SeqCst);
            fetch().map(|()| key("AKIDEXAMPLE"))
        });
        (access, asked)
    }

    static TEST: Service = Service {
        name: "test",
        variable: "AWS_ENDPOINT_URL_TEST",
        what: "tests",
        region: |session, _| session.region.clone(),
        host: |_, _| Ok("test.example.com".to_owned()),
    };

    /// `ok`, or what is missing.
    async fn ready(access: &Access) -> &'static str {
        match timeout(LONG, access.ready()).await.expect("in time") {
            Ok(_) => "ok",
            Err(CallError::Credentials(_)) => "credentials",
            Err(_) => "another",
        }
    }

    #[tokio::test]
    async fn a_source_that_hangs_is_asked_once() {
        let (go, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let (access, asked) = access(move || {
            let _ = gate.lock().expect("one load at a time").recv();
            Ok(())
        });
        for _ in 0..20 {
            let given_up = timeout(Duration::from_millis(2), access.ready()).await;
            assert!(given_up.is_err(), "it is waited for");
        }
        let begun = async {
            while asked.load(SeqCst) == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, begun).await.expect("it is asked");
        access.slot.lock().await.loading.as_mut().expect("it goes on").since =
            Instant::now().checked_sub(WAIT).expect("a clock that has run");
        assert_eq!(ready(&access).await, "credentials", "and not for longer than it may take");
        assert_eq!(asked.load(SeqCst), 1);
        go.send(()).expect("it waits");
        while ready(&access).await != "ok" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(asked.load(SeqCst), 1, "what came late is taken all the same");
    }

    #[tokio::test]
    async fn a_source_that_fails_is_not_asked_again_at_once() {
        let (access, asked) = access(|| Err(LoadError::NotFound { metadata: "this is a test" }));
        for _ in 0..20 {
            assert_eq!(ready(&access).await, "credentials");
        }
        assert_eq!(asked.load(SeqCst), 1);
        access.slot.lock().await.failed.as_mut().expect("it is kept").0 =
            Instant::now().checked_sub(PAUSE).expect("a clock that has run");
        assert_eq!(ready(&access).await, "credentials");
        assert_eq!(asked.load(SeqCst), 2);
    }

    /// They are renewed long before their end, so that there is time for a source that fails or is slow.
    #[tokio::test]
    async fn credentials_that_have_not_ended_are_good_while_there_are_no_new_ones() {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        const END: u64 = 3600;
        let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(SECONDS.load(SeqCst));
        let (go, gate) = mpsc::channel::<Result<(), LoadError>>();
        let (gate, loads) = (std::sync::Mutex::new(gate), AtomicUsize::new(0));
        let access = Access { clock, ..first(&Roles::default()) }.by(move || {
            let id = ["AKIDFIRST", "AKIDSECOND", "AKIDTHIRD"][loads.fetch_add(1, SeqCst)];
            let end = SystemTime::UNIX_EPOCH + Duration::from_secs(END);
            gate.lock()
                .expect("one load at a time")
                .recv()
                .expect("a word")
                .map(|()| Credentials::new(id, "secret", None, Some(end), "test"))
        });
        let key = async || {
            let ready = timeout(LONG, access.ready()).await.expect("in time");
            ready.map(|ready| ready.credentials.access_key_id().to_owned())
        };
        go.send(Ok(())).expect("it waits");
        assert_eq!(key().await.as_deref(), Ok("AKIDFIRST"));

        SECONDS.store(LONGEST.as_secs(), SeqCst);
        for _ in 0..20 {
            assert_eq!(key().await.as_deref(), Ok("AKIDFIRST"), "nobody waits for the source");
        }
        go.send(Err(LoadError::NotFound { metadata: "this is a test" })).expect("it waits");
        while access.slot.lock().await.failed.is_none() {
            assert_eq!(key().await.as_deref(), Ok("AKIDFIRST"));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(key().await.as_deref(), Ok("AKIDFIRST"), "a source that fails takes nothing away");

        SECONDS.store(END, SeqCst);
        assert!(matches!(key().await, Err(CallError::Credentials(_))), "they have ended");
        SECONDS.store(END - 1, SeqCst);
        access.slot.lock().await.failed = None;
        go.send(Ok(())).expect("it waits");
        while key().await.as_deref() != Ok("AKIDTHIRD") {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// As a machine that starts with a clock ahead of the time, until the network sets it.
    #[tokio::test]
    async fn credentials_are_loaded_anew_after_a_clock_that_was_ahead() {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(SECONDS.load(SeqCst));
        let loads = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&loads);
        let access = Access { clock, ..first(&Roles::default()) }.by(move || {
            count.fetch_add(1, SeqCst);
            Ok(key("AKIDEXAMPLE"))
        });
        for (seconds, expected) in [(86_400, 1), (86_401, 1), (3600, 2), (3601, 2), (3600 + LONGEST.as_secs(), 3)] {
            SECONDS.store(seconds, SeqCst);
            assert_eq!((ready(&access).await, loads.load(SeqCst)), ("ok", expected), "{seconds}");
        }
    }

    /// Whoever has a role that Herald may not read has the service refuse once a minute, and a program that prints keys without an
    /// end may fail like any other.
    #[tokio::test]
    async fn credentials_that_were_refused_or_have_no_end_are_good_while_there_are_no_new_ones() {
        static SECONDS: AtomicU64 = AtomicU64::new(0);
        async fn check(is_refused: bool) {
            let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(SECONDS.load(SeqCst));
            let loads = AtomicUsize::new(0);
            let access = Access { clock, ..first(&Roles::default()) }.by(move || match loads.fetch_add(1, SeqCst) {
                0 => Ok(key("AKIDEXAMPLE")),
                _ => Err(LoadError::NotFound { metadata: "this is a test" }),
            });
            assert_eq!(ready(&access).await, "ok");
            if is_refused {
                access.forget().await;
            } else {
                SECONDS.store(LONGEST.as_secs(), SeqCst);
            }
            for _ in 0..3 {
                assert_eq!(ready(&access).await, "ok");
                assert!(access.slot.lock().await.failed.is_some(), "new ones were asked for");
            }
        }
        check(true).await;
        check(false).await;
    }

    /// What is known of one key is true of it alone, and outlives credentials that the service does not take.
    #[tokio::test]
    async fn whose_credentials_are_is_known_by_role_by_themselves_or_by_an_answer() {
        let [ours, others] = ["111111111111", "222222222222"].map(|id| id.parse::<AccountId>().expect("12 digits"));
        let tells = |access: &Access| [&ours, &others].map(|account| access.may_tell_of(account));
        let role = RoleArn::try_from("arn:aws:iam::111111111111:role/A".to_owned()).expect("a role");
        assert_eq!(tells(&first(&Roles { everybody: Some(role), ..Roles::default() })), [true, false]);

        let told = Credentials::builder().access_key_id("AKIDEXAMPLE").secret_access_key("secret");
        let told = told.account_id("111111111111").provider_name("test").build();
        let access = first(&Roles::default()).by(move || Ok(told.clone()));
        assert_eq!(tells(&access), [true, true], "nothing is loaded yet");
        assert_eq!(ready(&access).await, "ok");
        assert_eq!(tells(&access), [true, false]);

        let loads = AtomicUsize::new(0);
        let ids = ["AKIDEXAMPLE", "AKIDEXAMPLE", "AKIDANOTHER"];
        let access = first(&Roles::default()).by(move || Ok(key(ids[loads.fetch_add(1, SeqCst)])));
        access.ready().await.expect("credentials").belongs_to(&ours);
        assert_eq!(tells(&access), [true, false]);
        access.forget().await;
        assert_eq!(tells(&access), [true, false], "until others are there");
        assert_eq!(ready(&access).await, "ok");
        assert_eq!(tells(&access), [true, false], "the same key");
        access.slot.lock().await.forgotten = None;
        access.forget().await;
        assert_eq!(ready(&access).await, "ok");
        assert_eq!(tells(&access), [true, true], "another one");
    }

    /// Of IAM, a role that Herald may not read is enough: whoever has one would have everybody wait for new credentials.
    #[tokio::test]
    async fn a_service_that_goes_on_refusing_has_credentials_loaded_once_in_a_while() {
        let (access, asked) = access(|| Ok(()));
        for _ in 0..20 {
            assert_eq!(ready(&access).await, "ok");
            access.forget().await;
        }
        assert_eq!(asked.load(SeqCst), 2, "one for those that were refused first");
        access.slot.lock().await.forgotten = Instant::now().checked_sub(TRIED);
        access.forget().await;
        assert_eq!(ready(&access).await, "ok");
        assert_eq!(asked.load(SeqCst), 3);
    }

    #[tokio::test]
    async fn a_load_that_ends_without_a_word_is_a_failure() {
        let (access, asked) = access(|| panic!("as a mistake of ours"));
        assert_eq!(ready(&access).await, "credentials");
        access.slot.lock().await.failed = None;
        assert_eq!(ready(&access).await, "credentials");
        assert_eq!(asked.load(SeqCst), 2);
    }
}
