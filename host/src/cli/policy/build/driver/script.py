import json
import sys

sys.path.insert(0, "")
try:
    from herald_policy.build import build
except ModuleNotFoundError as error:
    print(json.dumps({"missing": error.name}))
else:
    print(json.dumps({"built": build(*sys.argv[-3:])}))
