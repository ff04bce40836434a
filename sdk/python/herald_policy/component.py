"""The two functions of `herald:policy/mapper`, made of a policy's class.

Runs inside a component only; the build writes the module that calls this.
"""

import json

from componentize_py_types import Err
from wit_world.imports import types

from . import log
from .answer import Abstain, Allow, Decision, Deny, Fault
from .cloud import LookUpError
from .data import DataError
from .policy import Policy
from .request import Caller, Mapping, PrincipalKind, Request

_KINDS = {kind: PrincipalKind[kind.name] for kind in types.PrincipalKind}
_NOT_THE_POLICY = (__file__.removesuffix("component.py"), "<")
"""How the files of this package begin, and what was never a file."""


def mapper_of(policy_class: type[Policy]) -> type:
    """What the component exports."""
    configured: list[Policy] = []

    class Mapper:
        def configure(self, settings: str) -> None:
            read = json.loads(settings)
            try:
                configured[:] = [policy_class(read)]
            except KeyError as error:
                raise Err(f"{error} is missing") from error
            except Exception as error:
                # An `assert` may say nothing.
                raise Err(str(error) or type(error).__name__) from error

        def decide(self, request: types.Request) -> types.Decision:
            try:
                return _answer(configured[0].decide(_request(request)))
            except Fault as fault:
                why = str(fault)
                raise Err(types.Fault_Unavailable(why) if fault.unavailable else types.Fault_Broken(why)) from fault
            except DataError as error:
                why = str(error)
                raise Err(types.Fault_Broken(why) if error.ready else types.Fault_Unavailable(why)) from error
            except LookUpError as error:
                why = str(error)
                is_broken = error.code == "not-granted"
                raise Err(types.Fault_Broken(why) if is_broken else types.Fault_Unavailable(why)) from error
            except Exception as error:
                # A mistake of the policy's own: the component ends here, and this line says where.
                log.error(f"{type(error).__name__}: {error} at {_where(error)}")
                raise

    return Mapper


def _where(error: Exception) -> str:
    """File and line, of the policy itself where this package found its mistake.

    Module `traceback` would read the file, and there is none.
    """
    places, at = ["an unknown place"], error.__traceback__
    while at is not None:
        places.append(f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}")
        at = at.tb_next
    return next((place for place in reversed(places[1:]) if not place.startswith(_NOT_THE_POLICY)), places[-1])


def _request(request: types.Request) -> Request:
    facts = dict(vars(request.caller))
    facts["kind"] = _KINDS[facts["kind"]]
    facts["attributes"] = dict(facts["attributes"])
    current = request.current
    if current is not None:
        current = Mapping(current.username, current.uid, current.groups, dict(current.extra))
    return Request(Caller(**facts), request.cluster_id, request.now, current, request.trail)


def _answer(decision: Decision) -> types.Decision:
    match decision:
        case Abstain():
            return types.Decision_Abstain()
        case Allow(username, uid, groups, extra):
            pairs = [(key, list(values)) for key, values in extra.items()]
            return types.Decision_Allow(types.Mapping(username, uid, list(groups), pairs))
        case Deny(why):
            return types.Decision_Deny(why)
    raise TypeError(f"decide must return Abstain, Allow or Deny, not {type(decision).__name__}")
