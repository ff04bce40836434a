//! Callers that are made up: who is let in, who nearly is, and who never will be.

use expect_test::expect;

use super::*;

#[test]
fn made_up_callers() {
    check(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/Admin/alice"],
        true,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Admin/alice
          canonical arn  arn:aws:iam::123456789012:role/Admin
          account        123456789012
          session        alice
        stages
          MountedFile    allow by the entry on line 4
        decision
          username       admin:alice
          groups         system:masters
    "#]],
    );
    check(
        &["--arn", "arn:aws:iam::123456789012:role/team/Admin"],
        true,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Admin/session
          canonical arn  arn:aws:iam::123456789012:role/Admin
          account        123456789012
          session        session
        stages
          MountedFile    allow by the entry on line 4
        decision
          username       admin:session
          groups         system:masters
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/Broken/alice"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Broken/alice
          canonical arn  arn:aws:iam::123456789012:role/Broken
          account        123456789012
          session        alice
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        near misses
          line 5: names this caller and is left out: expected text, found `n`, which many readers of YAML take for a boolean: write it in quotes
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/alice"],
        false,
        &expect![[r#"
            caller, made up
              arn            arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/alice
              canonical arn  arn:aws:iam::123456789012:role/AWSReservedSSO_View_0123456789abcdef
              account        123456789012
              session        alice
              permission set View
            stages
              MountedFile    abstain
            decision
              denied         no mapping names this caller (not_mapped)
            near misses
              line 6: names another role of the same permission set: the end of the name has changed
                fix: write `sso: {permissionSetName: View, accountID: '123456789012'}`
        "#]],
    );
    check(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/Reserved/alice"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::123456789012:assumed-role/Reserved/alice
          canonical arn  arn:aws:iam::123456789012:role/Reserved
          account        123456789012
          session        alice
        stages
          MountedFile    allow by the entry on line 7
        decision
          denied         refused by the guard after MountedFile: the username starts with a reserved prefix (guard_reserved_prefix)
        what to do
          change the name that the stage gives, or what is reserved
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::444444444444:assumed-role/Admin/alice"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::444444444444:assumed-role/Admin/alice
          canonical arn  arn:aws:iam::444444444444:role/Admin
          account        444444444444
          session        alice
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        near misses
          line 4: names the same principal of another account
            fix: write `arn:aws:iam::444444444444:role/Admin`
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::444444444444:assumed-role/Nobody/alice"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:sts::444444444444:assumed-role/Nobody/alice
          canonical arn  arn:aws:iam::444444444444:role/Nobody
          account        444444444444
          session        alice
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        what to do
          add an entry for `arn:aws:iam::444444444444:role/Nobody`, or a policy that knows this caller
    "#]],
    );
    check(
        &["--arn", "arn:aws:iam::123456789012:user/bob"],
        false,
        &expect![[r#"
        caller, made up
          arn            arn:aws:iam::123456789012:user/bob
          canonical arn  arn:aws:iam::123456789012:user/bob
          account        123456789012
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
        near misses
          line 10: names the same user with another path
            fix: write `arn:aws:iam::123456789012:user/bob`
    "#]],
    );
    check(
        &["--arn", "arn:aws:iam::210987654321:user/eve"],
        true,
        &expect![[r#"
        caller, made up
          arn            arn:aws:iam::210987654321:user/eve
          canonical arn  arn:aws:iam::210987654321:user/eve
          account        210987654321
        stages
          MountedFile    abstain
        decision
          username       arn:aws:iam::210987654321:user/eve
    "#]],
    );
    check(
        &["--arn", "arn:aws:sts::333333333333:assumed-role/Admin/alice"],
        false,
        &expect![[r#"
        caller
          hidden: its account is one of `scrubbedAccounts`
        stages
          MountedFile    abstain
        decision
          denied         no mapping names this caller (not_mapped)
    "#]],
    );
}

#[test]
fn entries_that_nobody_asks_and_permission_sets_that_are_left_out() {
    check_with(
        &["--arn", "arn:aws:iam::123456789012:role/Admin"],
        "server:
  backendMode: [DynamicFile]
  dynamicFilePath: nobody.json
  mapRoles:
  - {rolearn: 'arn:aws:iam::123456789012:role/Admins', username: n}
  - {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: a}
",
        false,
        &expect![[r#"
            caller, made up
              arn            arn:aws:sts::123456789012:assumed-role/Admin/session
              canonical arn  arn:aws:iam::123456789012:role/Admin
              account        123456789012
              session        session
            stages
              DynamicFile    abstain
            decision
              denied         no mapping names this caller (not_mapped)
            near misses
              line 6: names this caller, and is not asked
                fix: put MountedFile into `backendMode`
        "#]],
    );
    check_with(
        &["--arn", "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/alice"],
        "server:
  mapRoles:
  - {sso: {permissionSetName: Ops, accountID: 123456789012}, username: ops}
",
        false,
        &expect![[r#"
            caller, made up
              arn            arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Ops_0123456789abcdef/alice
              canonical arn  arn:aws:iam::123456789012:role/AWSReservedSSO_Ops_0123456789abcdef
              account        123456789012
              session        alice
              permission set Ops
            stages
              MountedFile    abstain
            decision
              denied         no mapping names this caller (not_mapped)
            near misses
              line 3: names this caller and is left out: expected text, found the number `123456789012`: write it in quotes
        "#]],
    );
}

#[test]
fn callers_whose_tokens_nobody_accepts_are_told_as_that() {
    #[track_caller]
    fn check(providers: &str, arn: &str, expected: Option<&str>) {
        let config = format!(
            "server:\n  {providers}\n  mapUsers:\n  - {{userarn: 'acs:ram::1234567890123456:user/a', username: a}}\n  - {{userarn: 'arn:aws-cn:iam::123456789012:user/a', username: a}}\n"
        );
        let (code, _) = run_with(&["--arn", arn], &config, "");
        match expected {
            None => assert_eq!(code.expect("it runs"), ExitCode::SUCCESS, "{providers}"),
            Some(words) => assert_eq!(code.expect_err("no decision").to_string(), words, "{providers}"),
        }
    }
    let (acs, cn) = ("acs:ram::1234567890123456:user/a", "arn:aws-cn:iam::123456789012:user/a");
    let words =
        "acs:ram::1234567890123456:user/a is never let in: it is of partition acs, and tokens are accepted from aws";
    check("port: 1", acs, Some(words));
    check("providers: [aws, alibaba]", acs, None);
    let words = "arn:aws-cn:iam::123456789012:user/a is never let in: it is of partition aws-cn, and tokens are accepted from acs";
    check("providers: [alibaba]", cn, Some(words));
    check("partition: aws-cn", cn, None);
}
