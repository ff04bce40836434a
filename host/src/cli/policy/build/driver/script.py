import json
import sys

sys.path.insert(0, "")
try:
    from herald_policy.build import build
except ModuleNotFoundError as error:
    print(json.dumps({"missing": error.name}))
else:
    try:
        built = build(*sys.argv[-3:])
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    print(json.dumps({"built": built}))
