//! Keys and values: typos, bounds, and what YAML takes for something else.

use expect_test::expect;

use super::*;

#[test]
fn one_space_too_few() {
    check(
        &aws_auth(
            "  mapRoles: |\n    - rolearn: arn:aws:iam::123456789012:role/Admin\n      username: admin\n      groups:\n      - system:masters\n    - rolearn: arn:aws:iam::123456789012:role/Dev\n     username: dev\n",
        ),
        &expect![[r#"
            error[yaml]: the whole list is left out: while parsing a block collection, did not find expected '-' indicator
              --> 1.yaml:11:6 (data.mapRoles)
                |
             11 |      username: dev
                |      ^^^^^^^^
                = fix: compare how far this line and those above it are indented

            1 file: 1 error
        "#]],
    );
}

#[test]
fn values_that_yaml_takes_for_something_else() {
    check(
        &aws_auth(
            "  mapUsers: |\n    - {userarn: 'arn:aws:iam::123456789012:user/n', username: n}\n    - {userarn: 'arn:aws:iam::123456789012:user/on', username: on}\n    - {userarn: 'arn:aws:iam::123456789012:user/7', username: 7}\n    - {userarn: 'arn:aws:iam::123456789012:user/e', username: ''}\n    - {userarn: 'arn:aws:iam::123456789012:user/s', username: {{SessionName}}}\n  mapAccounts: |\n    - 012345670123\n    - 123456789012\n    - '123456789012'\n    - 12345\n",
        ),
        &expect![[r#"
            warning[no-administrator]: nobody gets `system:masters`
              --> 1.yaml:1:1
               |
             1 | apiVersion: v1
               | ^^^^^^^^^^
               = fix: name another group of administrators with --admin-group

            warning[no-nodes]: no node is let in: no entry gives `system:nodes` and a username `system:node:…`
              --> 1.yaml:1:1
               |
             1 | apiVersion: v1
               | ^^^^^^^^^^
               = fix: map the nodes' role to `system:node:{{EC2PrivateDNSName}}`

            error[yaml-trap]: left out: expected text, found `n`, which many readers of YAML take for a boolean
              --> 1.yaml:6:63 (data.mapUsers[0].username)
               |
             6 |     - {userarn: 'arn:aws:iam::123456789012:user/n', username: n}
               |                                                               ^
               = fix: write it in quotes

            error[yaml-trap]: left out: expected text, found `on`, which many readers of YAML take for a boolean
              --> 1.yaml:7:64 (data.mapUsers[1].username)
               |
             7 |     - {userarn: 'arn:aws:iam::123456789012:user/on', username: on}
               |                                                                ^^
               = fix: write it in quotes

            error[yaml-trap]: left out: expected text, found the number `7`
              --> 1.yaml:8:63 (data.mapUsers[2].username)
               |
             8 |     - {userarn: 'arn:aws:iam::123456789012:user/7', username: 7}
               |                                                               ^
               = fix: write it in quotes

            error[no-username]: left out: the username is empty
              --> 1.yaml:9:63 (data.mapUsers[3].username)
               |
             9 |     - {userarn: 'arn:aws:iam::123456789012:user/e', username: ''}
               |                                                               ^^

            error[yaml-trap]: left out: expected text, found a nested map
              --> 1.yaml:10:63 (data.mapUsers[4].username)
                |
             10 |     - {userarn: 'arn:aws:iam::123456789012:user/s', username: {{SessionName}}}
                |                                                               ^^^^^^^^^^^^^
                = fix: a text that starts with {{ needs quotes

            warning[yaml-trap]: `012345670123` is a number, which other readers of YAML write in another way
              --> 1.yaml:12:7 (data.mapAccounts[0])
                |
             12 |     - 012345670123
                |       ^^^^^^^^^^^^
                = fix: write it in quotes

            warning[yaml-trap]: `123456789012` is a number, which other readers of YAML write in another way
              --> 1.yaml:13:7 (data.mapAccounts[1])
                |
             13 |     - 123456789012
                |       ^^^^^^^^^^^^
                = fix: write it in quotes

            error[account-id]: left out: not an account id: must be 12 or 16 decimal digits, found `12345`
              --> 1.yaml:15:7 (data.mapAccounts[3])
                |
             15 |     - 12345
                |       ^^^^^

            1 file: 6 errors, 4 warnings
        "#]],
    );
    check(
        "server:\n\tmapRoles: []\n",
        &expect![[r#"
        error[yaml]: tabs disallowed within this context (block indentation)
          --> 1.yaml:2:2
           |
         2 |  mapRoles: []
           |  ^^^^^^^^
           = fix: indent with blanks, YAML allows no tabs there

        1 file: 1 error
    "#]],
    );
    check(
        "server: {mapAccounts: [012345670123]}\n",
        &expect![[r#"
        error[yaml-trap]: left out: expected text, found the number `012345670123`, and readers of YAML do not agree on what a leading zero means
          --> 1.yaml:1:24 (server.mapAccounts[0])
           |
         1 | server: {mapAccounts: [012345670123]}
           |                        ^^^^^^^^^^^^
           = fix: write it in quotes

        1 file: 1 error
    "#]],
    );
}

/// JSON of the same shape is a file of DynamicFile.
#[test]
fn a_configuration_without_server_is_no_dynamic_file() {
    check(
        "mapRoles:\n- {rolearn: 'arn:aws:iam::123456789012:role/Admin', username: a}\n",
        &expect![[r#"
            error[unknown-key]: unknown key `mapRoles`
              --> 1.yaml:1:1 (mapRoles)
               |
             1 | mapRoles:
               | ^^^^^^^^
               = fix: put it under `server`

            1 file: 1 error
        "#]],
    );
    check(
        r#"{"mapRoles": [{"rolearn": "arn:aws:iam::123456789012:role/Admin", "username": "a:{{SessionName}}", "groups": ["system:masters"]}]}"#,
        &expect![[r#"
            1 file: nothing to say
        "#]],
    );
}

#[test]
fn typos_are_told_all_at_once() {
    check(
        "clutserID: c\nserver:\n  prot: 1\n  backendMode: [MountedFile, CRDS, MountedFile]\n  sts: {timeout: 5, timeouts: 3s}\n  policies:\n  - {name: a, kind: mapp, component: a.wasm}\n  - {kind: map, component: a.wasm}\n  - {name: b, kind: map, komponent: a.wasm}\n",
        &expect![[r#"
            error[unknown-key]: unknown key `clutserID`
              --> 1.yaml:1:1 (clutserID)
               |
             1 | clutserID: c
               | ^^^^^^^^^
               = fix: did you mean `clusterID`?

            error[unknown-key]: unknown key `prot`
              --> 1.yaml:3:3 (server.prot)
               |
             3 |   prot: 1
               |   ^^^^
               = fix: did you mean `port`?

            error[invalid-value]: unknown source `CRDS`
              --> 1.yaml:4:30 (server.backendMode)
               |
             4 |   backendMode: [MountedFile, CRDS, MountedFile]
               |                              ^^^^
               = fix: did you mean `CRD`?

            error[invalid-value]: names MountedFile twice
              --> 1.yaml:4:36 (server.backendMode)
               |
             4 |   backendMode: [MountedFile, CRDS, MountedFile]
               |                                    ^^^^^^^^^^^

            error[invalid-value]: `5` has no unit: write 5s, or 5ms
              --> 1.yaml:5:18 (server.sts.timeout)
               |
             5 |   sts: {timeout: 5, timeouts: 3s}
               |                  ^

            error[unknown-key]: unknown key `timeouts`
              --> 1.yaml:5:21 (server.sts.timeouts)
               |
             5 |   sts: {timeout: 5, timeouts: 3s}
               |                     ^^^^^^^^
               = fix: did you mean `timeout`?

            error[invalid-value]: expected one of `map`, `augment`, `guard`, found `mapp`
              --> 1.yaml:7:21 (server.policies[0].kind)
               |
             7 |   - {name: a, kind: mapp, component: a.wasm}
               |                     ^^^^

            error[missing-key]: the key `name` is missing
              --> 1.yaml:8:5 (server.policies[1])
               |
             8 |   - {kind: map, component: a.wasm}
               |     ^^^^^

            error[unknown-key]: unknown key `komponent`
              --> 1.yaml:9:26 (server.policies[2].komponent)
               |
             9 |   - {name: b, kind: map, komponent: a.wasm}
               |                          ^^^^^^^^^
               = fix: did you mean `component`?

            1 file: 9 errors
        "#]],
    );
}

#[test]
fn every_value_out_of_bounds_is_told() {
    check(
        "server:\n  headtimeout: 2m\n  shutdownGrace: 9h\n  sts:\n    timeout: 1ms\n    limits: {inFlight: 0}\n",
        &expect![[r#"
            error[invalid-value]: server.headTimeout must be from 10ms to 1m, not 2m
              --> 1.yaml:2:16 (server.headtimeout)
               |
             2 |   headtimeout: 2m
               |                ^^

            error[invalid-value]: server.shutdownGrace must be from 0s to 10m, not 9h
              --> 1.yaml:3:18 (server.shutdownGrace)
               |
             3 |   shutdownGrace: 9h
               |                  ^^

            error[invalid-value]: timeout must be between 100ms and 30s
              --> 1.yaml:5:14 (server.sts.timeout)
               |
             5 |     timeout: 1ms
               |              ^^^

            error[invalid-value]: limits.inFlight must be between 1 and 65536
              --> 1.yaml:6:24 (server.sts.limits.inFlight)
               |
             6 |     limits: {inFlight: 0}
               |                        ^

            1 file: 4 errors
        "#]],
    );
}
