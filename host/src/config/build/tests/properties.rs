//! What holds for any two callers, any configuration, and whatever fails.

use std::{cell::Cell, sync::Arc};

use futures_util::future::join_all;
use proptest::{collection::vec, prelude::*};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::config::tests::worlds::{
    Place, Question, every_question, failures, history, hold, mappings, question, read, said, world,
};

/// Where decisions run beside each other.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().expect("a runtime")
}

/// A decision is a function of request, configuration and time: what an engine of its own says of a question, an
/// engine says that has been asked anything else before, and is asked it in between and at once.
#[test]
fn nobody_is_decided_about_by_what_was_asked_of_others() {
    let (place, runtime) = (Place::new(), runtime());
    let _inside = runtime.enter();
    hold(24, &(world(history()), vec(question(), 2..10)), |(world, questions)| {
        let engine = Arc::new(world.engine(&place));
        let in_turn: Vec<Value> = questions.iter().map(|question| runtime.block_on(said(&engine, *question))).collect();
        let ask = |question: Question| {
            let engine = Arc::clone(&engine);
            runtime.spawn(async move { said(&engine, question).await })
        };
        let at_once = runtime.block_on(join_all(questions.iter().rev().chain(&questions).copied().map(ask)));
        let at_once: Vec<Value> = at_once.into_iter().map(|said| said.expect("it ends")).collect();
        for (nth, question) in questions.iter().enumerate() {
            let alone = runtime.block_on(said(&world.engine(&place), *question));
            prop_assert_eq!(&in_turn[nth], &alone);
            prop_assert_eq!(&at_once[questions.len() - 1 - nth], &alone);
            prop_assert_eq!(&at_once[questions.len() + nth], &alone);
        }
        Ok(())
    });
}

/// Whatever fails, whoever is let in is let in without the failure too, under the same name and with no less. A policy
/// that would deny and whose faults are skipped is the one exception: then it is as if it were not there.
#[test]
fn a_failure_never_widens_access() {
    let (place, runtime) = (Place::new(), runtime());
    let _inside = runtime.enter();
    let (let_in, admins) = (Cell::new(0), Cell::new(0));
    hold(64, &(world(read()), failures()), |(world, failures)| {
        let failing = world.failing(&failures);
        let [with, without, spared] =
            [&failing, &world, &world.without_skipped(&failures)].map(|world| world.engine(&place));
        for question in every_question() {
            let [with, without] = [&with, &without].map(|engine| runtime.block_on(said(engine, question)));
            if failures.come_late() {
                prop_assert_eq!(&with, &without, "what was read last stays");
            }
            if without["stages"][0]["stage"] == "bootstrapAdmins"
                && without["stages"][0]["verdict"] == "allow"
                && !world.judge_fails(&failures)
            {
                admins.set(admins.get() + 1);
                prop_assert_eq!(&with["user"], &without["user"], "no source locks an administrator out");
                prop_assert_eq!(&with["reason"], &without["reason"]);
            }
            if with["outcome"] == "denied" {
                continue;
            }
            let_in.set(let_in.get() + 1);
            let with_no_failure =
                if without["reason"] == "policy_denied" { runtime.block_on(said(&spared, question)) } else { without };
            prop_assert!(has_no_more(&with["user"], &with_no_failure["user"]), "{with} {with_no_failure}");
        }
        Ok(())
    });
    assert!(let_in.get() > 50 && admins.get() > 10, "{let_in:?} {admins:?}");
}

/// Whether `small` is let in under the name of `large`, and with nothing that he has not.
fn has_no_more(small: &Value, large: &Value) -> bool {
    let within = |small: &Value, large: &Value| {
        let large = large.as_array().map_or(&[][..], Vec::as_slice);
        small.as_array().into_iter().flatten().all(|value| large.contains(value))
    };
    let extra = small["extra"].as_object().into_iter().flatten();
    // The stages that decided are the host's word, and fewer where one was skipped.
    small["username"] == large["username"]
        && small["uid"] == large["uid"]
        && within(&small["groups"], &large["groups"])
        && extra.clone().all(|(key, values)| within(values, &large["extra"][key]))
}

/// Whoever logs in while a source is written is decided about by all of what stood there before, or by all of what
/// stands there after.
#[test]
fn no_decision_is_of_two_versions_of_a_source() {
    let (place, runtime) = (Place::new(), runtime());
    let _inside = runtime.enter();
    let versions = [mappings(), mappings()];
    let questions = vec(question(), 2..6);
    hold(12, &(world(read()), 0..5_usize, versions, questions), |(world, source, versions, questions)| {
        let (engine, mut write) = world.written(&place, source);
        let engine = Arc::new(engine);
        let mut expected = Vec::new();
        for version in &versions {
            write(version);
            expected.push(runtime.block_on(join_all(questions.iter().map(|question| said(&engine, *question)))));
        }
        let asked = (0..2).map(|_| {
            let (engine, questions, expected) = (Arc::clone(&engine), questions.clone(), expected.clone());
            runtime.spawn(async move {
                for nth in (0..ROUNDS).flat_map(|_| 0..questions.len()) {
                    let said = said(&engine, questions[nth]).await;
                    assert!(expected.iter().any(|all| all[nth] == said), "{said} is of neither version");
                }
            })
        });
        let asked: Vec<_> = asked.collect();
        while !asked.iter().all(tokio::task::JoinHandle::is_finished) {
            versions.iter().for_each(&mut write);
        }
        for ended in runtime.block_on(join_all(asked)) {
            prop_assert!(ended.is_ok(), "{ended:?}");
        }
        Ok(())
    });
}

/// How often each question is asked while a source is written.
const ROUNDS: usize = 20;
