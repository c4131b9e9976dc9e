"""Fetches the model of each run that a line of standard input names, and says what came of it."""

import hashlib
import sys

from cursivetransformer.config import CursiveError
from cursivetransformer.data.remote import fetched_model, parse_reference

for line in sys.stdin:
    try:
        with fetched_model(parse_reference(line.strip())) as (path, _):
            print(path.name, hashlib.md5(path.read_bytes()).hexdigest(), flush=True)
    except CursiveError as e:
        print(f"{type(e).__name__}: {e}", flush=True)
