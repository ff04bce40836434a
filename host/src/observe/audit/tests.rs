//! The audit log's promise: queued before answered, written once, never lost in silence.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::{Mutex, mpsc},
};

use super::*;

/// An output under the test's control.
#[derive(Clone, Default)]
struct Tap(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    text: Vec<u8>,
    writes: usize,
    broken: bool,
    /// How much it takes until it breaks.
    room: Option<usize>,
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().unwrap();
        if state.broken {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        // Short writes: a line must come out whole all the same.
        let count = bytes.len().min(100_000).min(state.room.unwrap_or(usize::MAX));
        state.room = state.room.map(|room| room - count);
        state.broken = state.room == Some(0);
        state.text.extend_from_slice(&bytes[..count]);
        state.writes += 1;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tap {
    fn log(&self, bytes: usize) -> AuditLog {
        self.log_gathering(Config::default().gather, bytes)
    }

    fn log_gathering(&self, gather: Duration, bytes: usize) -> AuditLog {
        let sink = Sink { path: None, out: Box::new(self.clone()), is_torn: false };
        AuditLog::with_sink(sink, gather, Arc::default(), bytes)
    }

    /// A log to this output, which is followed by the file at `path`.
    fn log_before(&self, path: &Path) -> AuditLog {
        let sink = Sink { path: Some(path.to_owned()), out: Box::new(self.clone()), is_torn: false };
        AuditLog::with_sink(sink, Config::default().gather, Arc::default(), MAX_BYTES)
    }

    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().text.clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

#[test]
fn every_line_is_written_once_in_order_and_in_batches() {
    let tap = Tap::default();
    let log = tap.log(MAX_BYTES);
    for number in 0..5000 {
        log.record(&number, || 0).unwrap();
    }
    drop(log);
    let expected: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
    assert_eq!(tap.lines(), expected);
    let writes = tap.0.lock().unwrap().writes;
    assert!(writes < 500, "{writes} writes");
}

#[test]
fn lines_are_gathered_as_long_as_is_said() {
    let tap = Tap::default();
    let log = tap.log_gathering(Duration::from_secs(3), MAX_BYTES);
    for number in 0..50 {
        log.record(&number, || 0).unwrap();
    }
    assert_eq!(tap.lines().len(), 0);
    log.flush(Duration::from_secs(60));
    assert_eq!((tap.lines().len(), tap.0.lock().unwrap().writes), (50, 1));

    let tap = Tap::default();
    let log = tap.log_gathering(Duration::ZERO, MAX_BYTES);
    for number in 1..=20 {
        log.record(&number, || 0).unwrap();
        log.flush(Duration::from_secs(60));
        assert_eq!((tap.lines().len(), tap.0.lock().unwrap().writes), (number, number));
    }
}

#[test]
fn a_long_line_gives_way_to_its_short_form() {
    let tap = Tap::default();
    let log = tap.log(64);
    assert_eq!(log.record(&"x".repeat(MAX_LINE_BYTES), || "short"), Ok(()));
    assert_eq!(log.record(&"x".repeat(MAX_LINE_BYTES), || "x".repeat(MAX_LINE_BYTES)), Err(Unrecorded));
    drop(log);
    assert_eq!(tap.lines(), ["\"short\""]);
}

#[test]
fn a_broken_output_fills_the_queue_and_loses_nothing() {
    let tap = Tap::default();
    tap.0.lock().unwrap().broken = true;
    let log = tap.log(8);
    let mut queued = 0;
    while log.record(&queued, || 0).is_ok() {
        queued += 1;
        assert!(queued < 100, "the queue has no end");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(queued >= 4);
    tap.0.lock().unwrap().broken = false;
    drop(log);
    let expected: Vec<String> = (0..queued).map(|number| number.to_string()).collect();
    assert_eq!(tap.lines(), expected);
}

/// What a disk that is full took of lines, and what the file after it gets.
#[test]
fn a_line_is_whole_in_one_file() {
    #[track_caller]
    fn check(room: usize, taken: &str, in_file: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, in_file).unwrap();
        let tap = Tap::default();
        tap.0.lock().unwrap().room = Some(room);
        let log = tap.log_before(&path);
        log.record(&1, || 0).unwrap();
        log.record(&"two", || "").unwrap();
        while !tap.0.lock().unwrap().broken {
            std::thread::sleep(Duration::from_millis(1));
        }
        log.reopen();
        log.record(&3, || 0).unwrap();
        drop(log);
        assert_eq!(String::from_utf8(tap.0.lock().unwrap().text.clone()).unwrap(), taken);
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected, "after {taken:?}");
    }
    check(1, "1", "", "1\n\"two\"\n3\n");
    check(2, "1\n", "", "\"two\"\n3\n");
    check(5, "1\n\"tw", "", "\"two\"\n3\n");
    // The same file once more, without a rotation.
    check(5, "1\n\"tw", "1\n\"tw", "1\n\"tw\n\"two\"\n3\n");
}

#[test]
fn what_a_process_before_left_in_pieces_is_not_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    for (before, after) in [("", "1\n"), ("0\n", "0\n1\n"), ("0\n{\"ti", "0\n{\"ti\n1\n"), ("{", "{\n1\n")] {
        std::fs::write(&path, before).unwrap();
        let config = Config { output: Output::File(path.clone()), ..Config::default() };
        let log = AuditLog::start(&config, Arc::default()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), before, "a full disk keeps no server from its start");
        log.record(&1, || 0).unwrap();
        drop(log);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
    }
}

#[test]
fn queued_bytes_are_bounded() {
    let tap = Tap::default();
    tap.0.lock().unwrap().broken = true;
    let log = tap.log(MAX_BYTES);
    let line = "x".repeat(MAX_LINE_BYTES - 3);
    let queued = (0..10_000).take_while(|_| log.record(&line, || 0).is_ok()).count();
    assert_eq!(queued, MAX_BYTES / MAX_LINE_BYTES);
}

/// It is tried five times a second, and a disk may be full for days.
#[test]
fn an_output_that_fails_is_told_once_and_so_is_that_it_works_again() {
    let (told, tap, metrics) = (Tap::default(), Tap::default(), Arc::<Metrics>::default());
    tap.0.lock().unwrap().broken = true;
    let queue = Arc::new(Queue::new(MAX_BYTES));
    queue.push(b"1\n").unwrap();
    let sink = Sink { path: None, out: Box::new(tap.clone()), is_torn: false };
    let writer = Writer::new(sink, Duration::ZERO, Arc::clone(&queue), Arc::clone(&metrics));
    let lines = told.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish();
    // With a second dispatcher alive, tracing asks them all what they want, whichever thread comes by first.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let failed = |times: usize| metrics.text().contains(&format!("herald_audit_write_errors_total {times}\n"));
            while (0..3).any(failed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            tap.0.lock().unwrap().broken = false;
            queue.close();
        });
        tracing::subscriber::with_default(subscriber, || writer.run());
    });
    assert_eq!(tap.lines(), ["1"]);
    let count = |words: &str| told.lines().iter().filter(|line| line.contains(words)).count();
    assert_eq!([count("cannot write the audit log"), count("is written again")], [1, 1], "{:?}", told.lines());
}

/// Else whoever stops the server has to kill it.
#[test]
fn an_output_that_takes_nothing_more_is_given_up_and_what_is_lost_is_known() {
    /// As a pipe whose reader stands still until the test ends.
    struct Blocked(mpsc::Receiver<()>);

    impl Write for Blocked {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[track_caller]
    fn check(out: impl Write + Send + 'static) {
        let sink = Sink { path: None, out: Box::new(out), is_torn: false };
        let log = AuditLog::with_sink(sink, Duration::ZERO, Arc::default(), MAX_BYTES);
        let queue = Arc::clone(&log.queue);
        log.record(&"one", || "").unwrap();
        log.record(&"two", || "").unwrap();
        let (dropped, is_dropped) = mpsc::channel();
        std::thread::spawn(move || {
            drop(log);
            dropped.send(())
        });
        is_dropped.recv_timeout(Duration::from_secs(60)).expect("it ends");
        assert_eq!(queue.bytes(), "\"one\"\n\"two\"\n".len());
    }

    let (_end, ended) = mpsc::channel();
    check(Blocked(ended));
    let broken = Tap::default();
    broken.0.lock().unwrap().broken = true;
    check(broken);
}

#[test]
fn a_file_is_private_appended_to_and_opened_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.log");
    let config = Config { output: Output::File(path.clone()), ..Config::default() };
    let log = AuditLog::start(&config, Arc::default()).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    log.record(&1, || 0).unwrap();
    log.flush(Duration::from_secs(60));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n");
    let rotated = dir.path().join("audit.log.1");
    std::fs::rename(&path, &rotated).unwrap();
    log.reopen();
    log.record(&2, || 0).unwrap();
    drop(log);
    assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "1\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "2\n");
}

/// As one that whoever rotates has made, and the server may not write.
#[test]
fn a_file_that_could_not_be_opened_anew_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (path, rotated) = (dir.path().join("audit.log"), dir.path().join("audit.log.1"));
    let config = Config { output: Output::File(path.clone()), gather: Duration::ZERO };
    let log = AuditLog::start(&config, Arc::default()).unwrap();
    std::fs::rename(&path, &rotated).unwrap();
    std::fs::create_dir(&path).unwrap();
    log.reopen();
    log.record(&1, || 0).unwrap();
    log.flush(Duration::from_secs(60));
    assert_eq!(std::fs::read_to_string(&rotated).unwrap(), "1\n", "the open one goes on");
    std::fs::remove_dir(&path).unwrap();
    let mut last = 1;
    while !path.exists() {
        last += 1;
        assert!(last < 6000, "it is never tried again");
        log.record(&last, || 0).unwrap();
        log.flush(Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(log);
    let [before, after] = [rotated, path].map(|path| std::fs::read_to_string(path).unwrap());
    let expected: String = (1..=last).map(|number| format!("{number}\n")).collect();
    assert_eq!(before.clone() + &after, expected);
    assert!(after.ends_with(&format!("{last}\n")), "{before:?}, {after:?}");
}

#[test]
fn outputs() {
    let read = |text: &str| serde_json::from_value::<Config>(serde_json::json!({ "output": text }));
    assert_eq!(read("stdout").unwrap().output, Output::Stdout);
    assert_eq!(read("/var/log/herald.log").unwrap().output, Output::File("/var/log/herald.log".into()));
    let error = read("audit.log").unwrap_err().to_string();
    assert!(error.contains("absolute path"), "{error}");
    let missing = Config { output: Output::File("/dev/null/audit.log".into()), ..Config::default() };
    let error = AuditLog::start(&missing, Arc::default()).unwrap_err();
    assert_eq!(error.to_string(), "cannot open the audit log /dev/null/audit.log");
}

#[test]
fn gathering_is_bounded() {
    let read = |text: &str| serde_json::from_value::<Config>(serde_json::json!({ "gather": text }));
    assert_eq!(read("0s").unwrap().gather, Duration::ZERO);
    assert_eq!(read("500ms").unwrap().gather, Duration::from_millis(500));
    assert_eq!(read("501ms").unwrap_err().to_string(), "must be at most 500ms");
}
