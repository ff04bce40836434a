"""The package natively: what a policy's own unit tests rely on."""

import contextlib
import io
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import herald_policy.build as building
from herald_policy import Allow, Deny, Fault, Glob, PrincipalKind, Template, Unfit, cloud, data, log
from herald_policy.testing import logged, session, set_instance, set_not_ready, set_table, set_tags, user


class Templates(unittest.TestCase):
    def test_values_go_in_and_callers_cannot_write_a_prefix(self) -> None:
        rows = [
            ("{{SessionName}}", "alice@example.com", "alice-example.com"),
            ("{{SessionNameRaw}}", "alice@example.com", "alice@example.com"),
            ("a:{{AccountID}}:{{RoleName}}:{{SessionNameRaw}}!", "bob", "a:111122223333:Dev:bob!"),
            ("{{PrincipalID}}", "bob", "AROAEXAMPLEEXAMPLE000"),
            ("plain {text}", "bob", "plain {text}"),
            ("system:masters", "bob", "system:masters"),
        ]
        for text, name, expected in rows:
            with self.subTest(text):
                self.assertEqual(Template(text).render(session("111122223333", "Dev", name).caller), expected)

    def test_what_does_not_fit(self) -> None:
        outside = "the caller's SessionName has a character outside letters, digits and +=,.@_-"
        rows = [
            ("{{PermissionSet}}", "bob", "the caller has no PermissionSet"),
            ("{{SessionName}}", "", "the caller has no SessionName"),
            ("{{SessionName}}", "a:b", outside),
            ("{{SessionName}}", "ålice", outside),
            ("{{SessionName}}", "a\nb", outside),
            ("{{SessionName}}", "ab\n", outside),
            ("{{SessionName}}:masters", "System", "the name would begin with system:"),
            ("sys{{SessionName}}:masters", "tem", "the name would begin with system:"),
        ]
        for text, name, expected in rows:
            with self.subTest(text, name=name), self.assertRaises(Unfit) as raised:
                Template(text).render(session("111122223333", "Dev", name).caller)
            self.assertEqual(str(raised.exception), expected)
        with self.assertRaisesRegex(Unfit, "no RoleName"):
            Template("{{RoleName}}").render(user("111122223333", "a").caller)

    def test_operators_are_told(self) -> None:
        rows = [
            ("", "a name must not be empty"),
            ("{{SessionName", "a placeholder is not closed: {{ without }}"),
            ("system:{{SessionName}}", "a name under system: must be written out, without placeholders"),
            (
                "{{Sessionname}}",
                "unknown placeholder {{Sessionname}}, expected one of AccountID PermissionSet PrincipalID RoleName "
                "SessionName SessionNameRaw",
            ),
        ]
        for text, expected in rows:
            with self.subTest(text), self.assertRaises(ValueError) as raised:
                Template(text)
            self.assertEqual(str(raised.exception), expected)


class Patterns(unittest.TestCase):
    def test_they_cover_the_whole_text(self) -> None:
        rows = [
            ("team-*", "team-payments", True),
            ("team-*", "my-team-payments", False),
            ("*a*b", "xaxaxb", True),
            ("*a*b", "xaxax", False),
            ("a?c", "a😀c", True),
            ("a?c", "ac", False),
            ("**", "", True),
            ("a", "A", False),
        ]
        for pattern, text, matches in rows:
            with self.subTest(pattern, text=text):
                self.assertIs(Glob(pattern).matches(text), matches)
        with self.assertRaisesRegex(ValueError, "a pattern must not be empty"):
            Glob("")


class Around(unittest.TestCase):
    def test_answers_are_equal_whatever_their_lists_are(self) -> None:
        self.assertEqual(Allow("a", groups=["g"], extra={"k": ["v"]}), Allow("a", groups=("g",), extra={"k": ("v",)}))
        with self.assertRaisesRegex(TypeError, "groups must be a list of strings"):
            Allow("a", groups="admins")
        with self.assertRaisesRegex(TypeError, "k must be a list of strings"):
            Allow("a", extra={"k": "v"})

    def test_what_is_no_text_is_told_before_it_ends_a_component(self) -> None:
        rows = [
            (lambda: Allow(None), "username must be a string, not NoneType"),
            (lambda: Allow("a", uid=7), "uid must be a string, not int"),
            (lambda: Allow("a", groups=["g", None]), "groups must be a string, not NoneType"),
            (lambda: Allow("a", extra={7: []}), "extra must be a string, not int"),
            (lambda: Allow("a", extra={"k": [7]}), "extra.k must be a string, not int"),
            (lambda: Allow("\ud800"), "surrogates not allowed"),
            (lambda: Deny(ValueError("no")), "why must be a string, not ValueError"),
            (lambda: data.get("rota", None), "key must be a string, not NoneType"),
            (lambda: data.keys("rota", None), "prefix must be a string, not NoneType"),
        ]
        set_table("rota", {"a": "1"})
        for ask, expected in rows:
            with self.subTest(expected), self.assertRaises((TypeError, ValueError)) as raised:
                ask()
            self.assertIn(expected, str(raised.exception))

    def test_a_limit_that_the_contract_has_no_number_for_is_a_mistake(self) -> None:
        set_table("rota", {"a": "1", "b": "2"})
        for limit in (-1, 2**32, 1.5, None, float("inf")):
            with self.subTest(limit), self.assertRaisesRegex(ValueError, "limit must be a whole number"):
                data.keys("rota", limit=limit)
        self.assertEqual((data.keys("rota", limit=2**32 - 1), data.keys("rota", limit=0)), (["a", "b"], []))

    def test_whatever_is_logged_is_a_line(self) -> None:
        log.info(None)
        log.error("a\ud800b")
        self.assertEqual(logged(), [("info", "None"), ("error", "a?b")])

    def test_tests_see_what_is_logged_and_set_tables(self) -> None:
        log.warn("odd")
        self.assertEqual(logged(), [("warn", "odd")])
        self.assertEqual(logged(), [])
        set_table("rota", {"b": "2", "a": "1", "c": "3"})
        self.assertEqual(data.get("rota", "a"), "1")
        self.assertIsNone(data.get("rota", "z"))
        self.assertEqual(data.keys("rota", limit=2), ["a", "b"])
        with self.assertRaisesRegex(data.DataError, "the table other is not attached to this policy") as raised:
            data.get("other", "a")
        self.assertTrue(raised.exception.ready)
        set_not_ready("later")
        with self.assertRaisesRegex(data.DataError, "the table later is not loaded yet") as raised:
            data.keys("later")
        self.assertFalse(raised.exception.ready)

    def test_a_list_of_keys_is_whole_or_as_long_as_asked_for(self) -> None:
        set_table("large", {f"k{key:05}": "" for key in range(4096)})
        self.assertEqual(len(data.keys("large", "k", 100_000)), 4096)
        self.assertEqual(len(data.keys("large")), 1000)
        set_table("large", {f"k{key:05}": "" for key in range(4097)})
        self.assertEqual(len(data.keys("large", limit=4096)), 4096)
        with self.assertRaisesRegex(RuntimeError, "more than 4096 keys of large are asked for"):
            data.keys("large", limit=4097)

    def test_tests_say_which_machine_the_caller_is(self) -> None:
        with self.assertRaisesRegex(cloud.LookUpError, "not granted"):
            cloud.caller_instance()
        set_instance(cloud.Instance("i-1", tags={"team": "db"}))
        found = cloud.caller_instance()
        self.assertEqual(found and (found.id, found.zone, found.tags), ("i-1", "", {"team": "db"}))
        set_instance(None)
        self.assertIsNone(cloud.caller_instance())
        for code in ("forbidden", "unavailable"):
            set_instance(code)
            with self.assertRaises(cloud.LookUpError) as raised:
                cloud.caller_instance()
            self.assertEqual(raised.exception.code, code)

    def test_tests_say_which_tags_the_role_or_user_has(self) -> None:
        with self.assertRaisesRegex(cloud.LookUpError, "not granted"):
            cloud.caller_tags()
        for tags in ({"team": "db"}, {}, None):
            set_tags(tags)
            self.assertEqual(cloud.caller_tags(), tags)
        for code in ("forbidden", "unavailable"):
            set_tags(code)
            with self.assertRaises(cloud.LookUpError) as raised:
                cloud.caller_tags()
            self.assertEqual(raised.exception.code, code)


class Refused(Exception):
    """Stands for what a component raises in place of a result."""


class Components(unittest.TestCase):
    MODULES = {
        "componentize_py_types": SimpleNamespace(Err=Refused),
        "wit_world": SimpleNamespace(),
        "wit_world.imports": SimpleNamespace(types=mock.Mock(PrincipalKind=PrincipalKind)),
    }

    def test_why_settings_are_refused_is_always_told(self) -> None:
        rows = [
            (ValueError("team must not be empty"), "team must not be empty"),
            (KeyError("team"), "'team' is missing"),
            (AssertionError(), "AssertionError"),
        ]
        with mock.patch.dict(sys.modules, self.MODULES):
            from herald_policy.component import mapper_of

            for error, expected in rows:
                with self.subTest(expected), self.assertRaises(Refused) as raised:
                    mapper_of(mock.Mock(side_effect=error))().configure("{}")
                self.assertEqual(str(raised.exception), expected)

    def test_a_mistake_is_where_the_policy_makes_it(self) -> None:
        with mock.patch.dict(sys.modules, self.MODULES):
            from herald_policy.component import _where
        rows = [lambda: Allow(None), lambda: [][0], lambda: data.keys("rota", limit=-1)]
        for ask in rows:
            try:
                ask()
            except Exception as error:
                self.assertEqual(_where(error), f"{__file__}:{ask.__code__.co_firstlineno}")
            else:
                self.fail("it is no mistake")
        self.assertEqual(_where(Exception()), "an unknown place")

    def test_what_the_project_has_not_asked_for_is_told_with_what_to_write(self) -> None:
        rows = [
            ("data", lambda: data.get("rota", "a")),
            ("data", lambda: data.keys("rota")),
            ("data", lambda: data.version("rota")),
            ("cloud", cloud.caller_instance),
            ("cloud", cloud.caller_tags),
        ]
        for name, ask in rows:
            with self.subTest(name), mock.patch.object(log, "_host", object()), self.assertRaises(Fault) as raised:
                ask()
            self.assertIn(f'capabilities = ["{name}"] under [tool.herald] in pyproject.toml', str(raised.exception))
            self.assertFalse(raised.exception.unavailable)


class Building(unittest.TestCase):
    def test_a_component_is_kept_whole_or_not_at_all(self) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            Path("pyproject.toml").write_text('[project]\nname = "a"\nversion = "1"\n', encoding="utf-8")
            Path("policy.wit").write_text("package a:a;\n", encoding="utf-8")

            def componentize(_stage: Path, output: Path) -> None:
                output.write_bytes(b"a component")

            def end_in_the_middle(_source: Path, target: Path) -> None:
                Path(target).write_bytes(b"a com")
                raise KeyboardInterrupt

            with (
                mock.patch.object(building, "_componentize", componentize),
                mock.patch.object(building, "version", return_value="0"),
                contextlib.redirect_stderr(io.StringIO()),
            ):
                with (
                    mock.patch.object(building.shutil, "copyfile", end_in_the_middle),
                    self.assertRaises(KeyboardInterrupt),
                ):
                    building.build("policy.wit", "out.wasm", "cache")
                building.build("policy.wit", "out.wasm", "cache")
            self.assertEqual(Path("out.wasm").read_bytes(), b"a component")

    def test_only_the_projects_own_files_go_in(self) -> None:
        others = ["venv/lib/a.py", "of-ci/lib/a.py", "of-conda/lib/a.py", ".venv/lib/a.py", "acme/node_modules/gyp/a.py"]
        others += ["tests/a.py", "target/a.py", "acme/__pycache__/a.py", "test_policy.py", ".policy.py", "acme/test_a.py"]
        own = ["policy.py", "acme/__init__.py", "acme/env/teams.py"]
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            for name in own + others:
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_text("class Policy: pass\n" if name in own else "(\n", encoding="utf-8")
            Path("of-ci/pyvenv.cfg").write_text("home = /usr/bin\n", encoding="utf-8")
            Path("of-conda/conda-meta").mkdir()
            staged = building._staged(Path("stage"), "policy")
            files = {str(path.relative_to("stage/app")) for path in Path("stage").rglob("*.py")}
        self.assertEqual(files, set(staged))
        package = {name for name in staged if name.startswith("herald_policy/")}
        self.assertEqual(set(staged) - package, {"herald_component.py", *own})

    def test_what_is_no_python_is_told_by_file_and_line(self) -> None:
        from herald_policy.build import check_syntax

        fine = b"class Policy:\n    pass\n"
        check_syntax({"policy.py": fine, "latin.py": "# coding: latin-1\nname = 'é'\n".encode("latin-1")})
        rows = [
            (b"class Policy(\n", "policy.py:1: '(' was never closed"),
            (b"def decide():\nreturn 1\n", "policy.py:2: expected an indented block"),
            (b"name = '\xe9'\n", "policy.py"),
            (b"a\0", "policy.py: source code string cannot contain null bytes"),
        ]
        for text, expected in rows:
            with self.subTest(text), self.assertRaises(ValueError) as raised:
                check_syntax({"a.py": fine, "policy.py": text, "z.py": b"("})
            self.assertEqual(str(raised.exception)[: len(expected)], expected)
            self.assertNotIn("\n", str(raised.exception))


if __name__ == "__main__":
    unittest.main()
