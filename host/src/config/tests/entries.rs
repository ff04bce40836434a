//! Entries of lists: what a wrong one costs, whom each names, and what is remarked on.

use expect_test::{Expect, expect};

use super::*;

/// One list of role entries around `entry`, which must not take its neighbours with it.
#[track_caller]
fn role(entry: &str, expected: &Expect) {
    let text = format!(
        "server:\n  mapRoles:\n  - {{rolearn: 'arn:aws:iam::123456789012:role/First', username: first}}\n  - {entry}\n  - {{rolearn: 'arn:aws:iam::123456789012:role/Last', username: last}}\n"
    );
    says(&text, expected);
    maps(&text, "arn:aws:sts::123456789012:assumed-role/First/a", "first []");
    maps(&text, "arn:aws:sts::123456789012:assumed-role/Last/a", "last []");
}

#[test]
fn a_wrong_entry_is_left_out_and_takes_nobody_with_it() {
    let arn = "rolearn: 'arn:aws:iam::123456789012:role/A'";
    let with = |rest: &str| format!("{{{arn}, {rest}}}");
    role(&with("username: a"), &expect![""]);
    role(
        &with("groups: [x]"),
        &expect![[r#"
        line 4: left out: the key `username` is missing (server.mapRoles[1])
    "#]],
    );
    role(
        &with("username: ''"),
        &expect![[r#"
        line 4: left out: the username is empty (server.mapRoles[1].username)
    "#]],
    );
    role(
        &with("username: n"),
        &expect![[r#"
        line 4: left out: expected text, found `n`, which many readers of YAML take for a boolean: write it in quotes (server.mapRoles[1].username)
    "#]],
    );
    role(
        &with("username: true"),
        &expect![[r#"
        line 4: left out: expected text, found the boolean `true`: write it in quotes (server.mapRoles[1].username)
    "#]],
    );
    role(
        &with("username: 007"),
        &expect![[r#"
            line 4: left out: expected text, found the number `007`, and readers of YAML do not agree on what a leading zero means: write it in quotes (server.mapRoles[1].username)
        "#]],
    );
    role(
        &with("username: {{SessionName}}"),
        &expect![[r#"
        line 4: left out: expected text, found a nested map: a text that starts with {{ needs quotes (server.mapRoles[1].username)
    "#]],
    );
    role(
        &with("username: 'a{{Team}}'"),
        &expect![[r#"
            line 4: left out: unknown template variable {{Team}}; known are {{AccessKeyID}}, {{AccountID}}, {{EC2PrivateDNSName}}, {{SessionName}}, {{SessionNameRaw}} (server.mapRoles[1].username)
        "#]],
    );
    role(
        &with("username: a, groups: ['{{Team']"),
        &expect![[r#"
        line 4: left out: template braces do not pair up: write {{Variable}} (server.mapRoles[1].groups[0])
    "#]],
    );
    role(&with("username: a, groups: ''"), &expect![""]);
    let none = format!("server: {{mapRoles: [{}]}}", with("username: a, groups: ''"));
    maps(&none, "arn:aws:sts::123456789012:assumed-role/A/s", "a []");
    role(
        &with("username: a, groups: [x, '']"),
        &expect![[r#"
        line 4: left out: a group is empty (server.mapRoles[1].groups[1])
    "#]],
    );
    role(
        &with("username: a, groups: [x, 7]"),
        &expect![[r#"
        line 4: left out: expected text, found the number `7`: write it in quotes (server.mapRoles[1].groups[1])
    "#]],
    );
    role(
        &with("username: a, groups: {x: y}"),
        &expect![[r#"
        line 4: left out: expected a list of groups, found a map (server.mapRoles[1].groups)
    "#]],
    );
    role(
        &with("username: a, group: [x]"),
        &expect![[r#"
        line 4: left out: unknown key `group`, did you mean `groups`? (server.mapRoles[1])
    "#]],
    );
    role(
        &with("username: a, UserName: b"),
        &expect![[r#"
        line 4: left out: `UserName` is given already, as `username` on line 4 (server.mapRoles[1])
    "#]],
    );
    role(
        &with("username: a, username: b"),
        &expect![[r#"
        line 4: left out: `username` is given already, as `username` on line 4 (server.mapRoles[1])
    "#]],
    );
    role(
        "just text",
        &expect![[r#"
        line 4: left out: expected a map, found text (server.mapRoles[1])
    "#]],
    );
}

#[test]
fn an_entry_names_exactly_one_principal() {
    role(
        "{username: a}",
        &expect![[r#"
        line 4: left out: has neither `roleARN` nor `sso`: it names nobody (server.mapRoles[1])
    "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/A', sso: {permissionSetName: A, accountID: '123456789012'}, username: a}",
        &expect![[r#"
            line 4: left out: has both `roleARN` and `sso`: keep one of them (server.mapRoles[1])
        "#]],
    );
    role(
        "{rolearn: Admin, username: a}",
        &expect![[r#"
        line 4: left out: not the ARN of a principal: bad prefix (server.mapRoles[1].roleARN)
    "#]],
    );
    role(
        "{rolearn: 'arn:aws-us-govt:iam::123456789012:role/A', username: a}",
        &expect![[r#"
        line 4: left out: not the ARN of a principal: bad partition, did you mean `aws-us-gov`? (server.mapRoles[1].roleARN)
    "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/*', username: a}",
        &expect![[r#"
        line 4: left out: wildcards are not supported in an ARN: name each role (server.mapRoles[1].roleARN)
    "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/FIRST', username: a}",
        &expect![[r#"
            line 4: left out: the same principal is mapped on line 3 already, which stays in force: keep one entry, with the groups of both (server.mapRoles[1])
        "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/team/First', username: a}",
        &expect![[r#"
            line 4: STS leaves out the path of a role: this entry matches by the role's name alone: write `arn:aws:iam::123456789012:role/First` (server.mapRoles[1])
            line 4: left out: the same principal is mapped on line 3 already, which stays in force: keep one entry, with the groups of both (server.mapRoles[1])
        "#]],
    );
    says(
        "server:\n  mapUsers: [{username: a}]\n",
        &expect![[r#"
        line 2: left out: has no `userARN`: it names nobody (server.mapUsers[0])
    "#]],
    );
}

#[test]
fn permission_sets_are_checked() {
    let sso = |set: &str| format!("{{sso: {set}, username: a}}");
    role(&sso("{permissionSetName: View, accountID: '123456789012'}"), &expect![""]);
    role(
        &sso("{permissionSetName: View, accountID: '123456789012', partition: aws-cn}"),
        &expect![[r#"
        line 4: never matches: it is of partition aws-cn, and tokens are accepted from aws: write the partition of your callers, or set `server.partition` (server.mapRoles[1])
    "#]],
    );
    role(
        &sso("{permissionSetName: View, accountID: 012345670123}"),
        &expect![[r#"
            line 4: left out: expected text, found the number `012345670123`, and readers of YAML do not agree on what a leading zero means: write it in quotes (server.mapRoles[1].sso.accountID)
        "#]],
    );
    role(
        &sso("{permissionSetName: View, accountID: '12345'}"),
        &expect![[r#"
        line 4: left out: not an account id: must be 12 or 16 decimal digits (server.mapRoles[1].sso)
    "#]],
    );
    role(
        &sso("{permissionSetName: 'View *', accountID: '123456789012'}"),
        &expect![[r#"
        line 4: left out: not the name of a permission set: 1 to 32 of A-Z a-z 0-9 _ + = , . @ - (server.mapRoles[1].sso)
    "#]],
    );
    role(
        &sso("{permissionSetName: View, accountID: '123456789012', partition: aws-us-govt}"),
        &expect![[r#"
        line 4: left out: no partition of AWS, did you mean `aws-us-gov`? (server.mapRoles[1].sso)
    "#]],
    );
    role(
        &sso("{permissionSetName: View}"),
        &expect![[r#"
        line 4: left out: the key `accountID` is missing (server.mapRoles[1].sso)
    "#]],
    );
    let text = "server: {mapRoles: [{sso: {permissionSetName: View, accountID: '123456789012', partition: aws-cn}, username: v}]}";
    maps(text, "arn:aws-cn:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/a", "v []");
    maps(text, "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_View_0123456789abcdef/a", "nobody");
}

#[test]
fn entries_that_may_not_mean_what_they_say_are_remarked_on() {
    role(
        "{rolearn: 'arn:aws:sts::123456789012:assumed-role/A/alice', username: a, userid: AROA}",
        &expect![[r#"
            line 4: names one session, and is in force for every session of its role: write `arn:aws:iam::123456789012:role/A` (server.mapRoles[1])
            line 4: `userid` has no effect here: entries match by ARN (server.mapRoles[1])
        "#]],
    );
    // To the program whose files name principals of Alibaba Cloud, such an entry names nobody.
    role(
        "{rolearn: 'acs:ram::1234567890123456:assumed-role/A/alice', username: a}",
        &expect![[r#"
            line 4: left out: names one session, and an entry is in force for every session of its role: write `acs:ram::1234567890123456:role/A` (server.mapRoles[1].roleARN)
        "#]],
    );
    role(
        "{rolearn: 'arn:aws:iam::123456789012:role/A', username: a, groups: ['system:{{SessionName}}']}",
        &expect![[r#"
            line 4: whoever may assume this role chooses the rest of a `system:` name (server.mapRoles[1])
        "#]],
    );
}

#[test]
fn whoever_has_no_session_cannot_be_named_by_it() {
    #[track_caller]
    fn check(list: &str, arn: &str, names: &str, expected: &Expect) {
        let key = match list {
            "mapUsers" => "userARN",
            "mapRoles" => "roleARN",
            _ => "arn",
        };
        says(&format!("server:\n  {list}:\n  - {{{key}: '{arn}', {names}}}\n"), expected);
    }
    let (user, role) = ("arn:aws:iam::123456789012:user/bob", "arn:aws:iam::123456789012:role/A");
    check("mapUsers", user, "username: bob", &expect![""]);
    check(
        "mapUsers",
        user,
        "username: 'bob:{{SessionName}}'",
        &expect![[r#"
        line 3: refuses every login: the template asks for the name of a session, and users have none: leave {{SessionName}} and {{SessionNameRaw}} out (server.mapUsers[0])
    "#]],
    );
    check(
        "mapUsers",
        user,
        "username: bob, groups: [a, 'g:{{SessionNameRaw}}']",
        &expect![[r#"
        line 3: refuses every login: the template asks for the name of a session, and users have none: leave {{SessionName}} and {{SessionNameRaw}} out (server.mapUsers[0])
    "#]],
    );
    check(
        "mapUsers",
        "acs:ram::1234567890123456:user/bob",
        "username: 'bob:{{SessionName}}'",
        &expect![[r#"
        line 3: refuses every login: the template asks for the name of a session, and users have none: leave {{SessionName}} and {{SessionNameRaw}} out (server.mapUsers[0])
    "#]],
    );
    check(
        "mapUsers",
        "arn:aws:sts::123456789012:federated-user/bob",
        "username: 'bob:{{SessionName}}'",
        &expect![[r#"
        line 3: refuses every login: the template asks for the name of a session, and users have none: leave {{SessionName}} and {{SessionNameRaw}} out (server.mapUsers[0])
    "#]],
    );
    check("mapUsers", user, "username: 'bob:{{AccountID}}'", &expect![""]);
    check(
        "bootstrapAdmins",
        user,
        "username: 'bob:{{SessionName}}'",
        &expect![[r#"
        line 3: refuses every login: the template asks for the name of a session, and users have none: leave {{SessionName}} and {{SessionNameRaw}} out (server.bootstrapAdmins[0])
    "#]],
    );
    check("mapRoles", role, "username: 'a:{{SessionName}}'", &expect![""]);
}

#[test]
fn roles_come_before_users_wherever_they_are_written() {
    let text = "
server:
  mapUsers: [{userarn: 'arn:aws:iam::123456789012:role/A', username: by-user, groups: 'a, b'}]
  mapRoles: [{rolearn: 'arn:aws:iam::123456789012:role/A', username: by-role, groups: 'a, b'}]
";
    says(
        text,
        &expect![[r#"
            line 3: left out: the same principal is mapped on line 4 already, which stays in force: keep one entry, with the groups of both (server.mapUsers[0])
        "#]],
    );
    maps(text, "arn:aws:sts::123456789012:assumed-role/A/s", "by-role [a b]");
}

#[test]
fn an_instance_is_a_session_of_the_role_that_all_of_its_account_have() {
    let role = "arn:aws:iam::123456789012:role/aws:ec2-instance";
    let text = format!("server: {{mapRoles: [{{rolearn: '{role}', username: 'instance:{{{{SessionName}}}}'}}]}}");
    says(&text, &expect![""]);
    maps(&text, "arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/i-0123", "instance:i-0123 []");
    maps(&text, "arn:aws:sts::210987654321:assumed-role/aws:ec2-instance/i-0123", "nobody");
}

#[test]
fn accounts_are_text() {
    let text = "server:\n  mapAccounts:\n  - '012345670123'\n  - 012345670123\n  - 123456789012\n  - '12'\n  - 1234567890123456x\n";
    says(
        text,
        &expect![[r#"
            line 4: left out: expected text, found the number `012345670123`, and readers of YAML do not agree on what a leading zero means: write it in quotes (server.mapAccounts[1])
            line 5: `123456789012` is a number, which other readers of YAML write in another way: write it in quotes (server.mapAccounts[2])
            line 6: left out: not an account id: must be 12 or 16 decimal digits, found `12` (server.mapAccounts[3])
            line 7: left out: not an account id: must be 12 or 16 decimal digits, found `1234567890123456x` (server.mapAccounts[4])
        "#]],
    );
    says(
        "server: {backendMode: [DynamicFile], dynamicFilePath: d.json, mapAccounts: ['123456789012']}",
        &expect![[r#"
            line 1: has no effect: MountedFile is not in `backendMode` (server.mapAccounts)
        "#]],
    );
    let accounts = parse(text).expect("it loads").config.map_accounts;
    assert_eq!(accounts.iter().map(AccountId::as_str).collect::<Vec<_>>(), ["012345670123", "123456789012"]);
    says(
        "server:\n  scrubbedAccounts: [123456789012]\n",
        &expect![[r#"
            line 2: `123456789012` is a number, which other readers of YAML write in another way: write it in quotes (server.scrubbedAccounts[0])
        "#]],
    );
    says(
        "server:\n  scrubbedAccounts: [012345678901]\n",
        &expect![
            "config.yaml:2:22: expected text, found the number `012345678901`, and readers of YAML do not agree on what a leading zero means: write it in quotes (server.scrubbedAccounts[0])"
        ],
    );
}

#[test]
fn bootstrap_admins_are_arns_or_whole_entries() {
    #[track_caller]
    fn check(list: &str, arn: &str, expected: Result<&str, &str>) {
        let found = parse(&format!("server:\n  bootstrapAdmins: {list}\n")).map(|loaded| {
            let caller = caller(arn);
            let rule = loaded.config.bootstrap_admins.find(&caller, SystemTime::UNIX_EPOCH);
            rule.map_or_else(|| "nobody".to_owned(), |rule| rule.to_string())
        });
        let words = found.map_err(|error| error.to_string());
        assert_eq!(words.as_deref().map_err(String::as_str), expected, "{list}");
    }
    let admin = "arn:aws:sts::123456789012:assumed-role/Admin/alice";
    let role = "arn:aws:iam::123456789012:role/Admin";
    check(&format!("['{role}']"), admin, Ok("bootstrap-admin [system:masters]"));
    check(&format!("['{role}']"), "arn:aws:iam::123456789012:user/Admin", Ok("nobody"));
    check(
        &format!("[{{ARN: '{role}', username: 'root:{{{{SessionName}}}}', groups: [a, b]}}]"),
        admin,
        Ok("root:{{SessionName}} [a b]"),
    );
    check(&format!("[{{arn: '{role}', groups: []}}]"), admin, Ok("bootstrap-admin []"));
    check(
        &format!("[{{arn: '{role}', notAfter: 2026-01-31T18:00:00+01:00}}]"),
        admin,
        Ok("bootstrap-admin [system:masters] until 2026-01-31T17:00:00Z"),
    );
    check("[]", admin, Ok("nobody"));
    check("", admin, Ok("nobody"));
    let wrong = [
        ("{a: b}", "config.yaml:2:20: expected a list of ARNs, found a map (server.bootstrapAdmins)"),
        ("[role/Admin]", "config.yaml:2:21: not the ARN of a principal: bad prefix (server.bootstrapAdmins[0].arn)"),
        ("[{username: a}]", "config.yaml:2:21: has no `arn`: it names nobody (server.bootstrapAdmins[0])"),
    ];
    for (list, error) in wrong {
        check(list, admin, Err(error));
    }
    let never =
        "config.yaml:2:77: not a time such as 2026-01-31T18:00:00Z (RFC 3339) (server.bootstrapAdmins[0].notAfter)";
    for end in ["1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "1970-01-01T00:00:00+00:01"] {
        check(&format!("[{{arn: '{role}', notAfter: {end}}}]"), admin, Err(never));
    }
    check(
        &format!("['{role}', '{role}']"),
        admin,
        Err("config.yaml:2:61: the same principal is mapped on line 2 already, which stays in force: \
             keep one entry, with the groups of both (server.bootstrapAdmins[1])"),
    );
}
