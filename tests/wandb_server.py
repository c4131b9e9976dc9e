"""A W&B server on this machine, as much of it as our use of the real client asks for: runs, history, files,
artifacts, sweeps, and faults on demand.

The client talks GraphQL (each query by its operation's name) and plain HTTP for files. An answer may hold
more fields than were asked for; the client takes what it needs."""

import base64
import hashlib
import itertools
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NOW = "2026-01-01T00:{:02d}:{:02d}Z"
KEY = "0123456789abcdef0123456789abcdef01234567"


class Server(ThreadingHTTPServer):
    """`with Server() as s:` serves at `s.url`. What arrived lies in `runs`, `artifacts`, `files` and `seen`;
    `faults` says what goes wrong."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.runs = {}  # (entity, project, name): what is known of it
        self.artifacts = []
        self.files = {}  # where it lies: bytes
        self.seen = []  # (method, path, body, authorization) of each request
        self.sweeps = {}
        # down, forbidden, unknown_key: True, for all that is asked; corrupt, cut, hang: so many downloads
        self.faults = {}
        self.released = threading.Event()  # until then, downloads that hang do
        self.ids = itertools.count(1)
        self.errors = []
        self.unknown = []  # queries
        self.lock = threading.RLock()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        e = sys.exc_info()[1]
        # Others are clients that were killed, and connections that a fault cut.
        if not isinstance(e, OSError):
            self.errors.append(repr(e))

    def new_id(self, kind):
        return base64.b64encode(f"{kind}:{next(self.ids)}".encode()).decode()

    def run(self, entity, project, name, create=True):
        "A run, made if there is none; None if it is not to be made."
        key = entity or "me", project or "uncategorized", name
        if key not in self.runs and create:
            owner = {"id": "e1", "name": key[0]}
            self.runs[key] = {
                "id": self.new_id("Run"),
                "name": name,
                "displayName": name,
                "config": "{}",
                "summaryMetrics": "{}",
                "state": "running",
                "history": [],
                "events": [],
                "project": {"id": "p1", "internalId": "1", "name": key[1], "entity": owner},
            }
        return self.runs.get(key)

    def place(self, artifact, digest):
        "Where a file with this digest, in base 64, lies for an artifact."
        return f"{artifact['run']['project']['entity']['name']}/{base64.b64decode(digest).hex()}"

    def content(self, artifact, name):
        return self.files[self.place(artifact, artifact["entries"][name]["digest"])]

    def commit(self, artifact):
        "Give an artifact its version, its aliases and its manifest's entries, when all is there."
        same = [a for a in self.artifacts if a["name"] == artifact["name"]]
        artifact.update(
            entries=json.loads(self.files[artifact["manifest"]])["contents"],
            version=sum(a["state"] == "COMMITTED" for a in same),
            created=NOW.format(*divmod(next(self.ids), 60)),
            state="COMMITTED",
        )
        for other in same:
            if other is not artifact:
                other["aliases"] = [n for n in other["aliases"] if n not in artifact["aliases"]]

    def new_artifact(self, run, name, kind, digest, metadata, aliases):
        artifact = {
            "id": self.new_id("Artifact"),
            "run": run,
            "name": name,
            "type": kind,
            "digest": digest,
            "metadata": metadata,
            "aliases": list(aliases),
            "state": "PENDING",
            "manifest": None,
            "entries": {},
            "version": None,
            "created": NOW.format(0, 0),
        }
        self.artifacts.append(artifact)
        return artifact

    def add_artifact(self, run, name, kind, files, metadata=None, aliases=("latest",)):
        "Put an artifact there, as if a client had."
        digest = hashlib.md5(repr(sorted(files)).encode()).hexdigest()
        artifact = self.new_artifact(run, name, kind, digest, json.dumps(metadata or {}), aliases)
        contents = {}
        for path, data in files.items():
            digest = base64.b64encode(hashlib.md5(data).digest()).decode()
            contents[path] = {"digest": digest, "size": len(data), "birthArtifactID": artifact["id"]}
            self.files[self.place(artifact, digest)] = data
        policy = {"storagePolicy": "wandb-storage-policy-v1", "storagePolicyConfig": {"storageLayout": "V2"}}
        artifact["manifest"] = f"manifest-{artifact['id']}"
        manifest = {"version": 1, **policy, "contents": contents}
        self.files[artifact["manifest"]] = json.dumps(manifest).encode()
        self.commit(artifact)
        return artifact


# What the client is told of things


def edges(nodes):
    "A list, as GraphQL has them."
    return {
        "edges": [{"node": n, "cursor": str(i)} for i, n in enumerate(nodes)],
        "pageInfo": {"hasNextPage": False, "endCursor": None},
        "totalCount": len(nodes),
    }


def history_keys(rows):
    "Which columns a run's history has."
    count = {"typeCounts": [{"type": "number", "count": len(rows)}], "monotonic": False, "previousValue": 0}
    return {"lastStep": len(rows) - 1, "sets": [], "keys": {k: count for row in rows for k in row}}


def run_fields(r):
    rows = r["history"]
    config = json.loads(r["config"])
    return {
        **{k: v for k, v in r.items() if k not in ("history", "events")},
        **dict(projectId="1", internalId=r["id"], tags=[], notes="", group=None, jobType=None, commit=None),
        **dict(readOnly=False, createdAt=NOW.format(0, 0), heartbeatAt=NOW.format(0, 0), sweepName=None),
        **dict(historyLineCount=len(rows), logLineCount=0, eventsLineCount=0, systemMetrics="{}"),
        **dict(defaultColorIndex=0, colorIndex=0, eventsTail="[]", historyKeys=history_keys(rows)),
        "user": {"id": "u1", "name": "me", "username": "me"},
        "wandbConfig": json.dumps(config.get("_wandb", {}).get("value", {})),
        "historyTail": json.dumps([json.dumps(row) for row in rows[-1:]]),
    }


def artifact_fields(a, url):
    project = a["run"]["project"]
    by = {"__typename": "Run", "name": a["run"]["name"], "project": project}
    manifest = f"{url}/storage/{a['manifest']}"
    sequence = {"__typename": "ArtifactSequence", "name": a["name"], "project": project}
    latest = {"id": a["id"], "versionIndex": a["version"]}
    return {
        **{k: a[k] for k in ("id", "digest", "state", "metadata")},
        **dict(__typename="Artifact", digestAlgorithm="MANIFEST_MD5", commitHash=a["id"], description=None),
        **dict(versionIndex=a["version"], createdAt=a["created"], updatedAt=a["created"], historyStep=None),
        **dict(ttl=None, ttlDurationSeconds=-2, ttlIsInherited=True, tags=[], sourceProject=project),
        **dict(source=by, createdBy=by, artifactMembership=None, artifactMemberships=edges([])),
        "size": sum(e["size"] for e in a["entries"].values()),
        "fileCount": len(a["entries"]),
        "artifactType": {"id": a["type"], "name": a["type"], "__typename": "ArtifactType"},
        "currentManifest": {"id": "m", "file": {"directUrl": manifest, "url": manifest}},
        "artifactSequence": {
            **sequence,
            "id": f"seq-{a['name']}",
            "latestArtifact": latest,
            "state": "READY",
        },
        "aliases": [alias_fields(a, name, sequence) for name in a["aliases"]],
    }


def alias_fields(a, name, sequence):
    return {
        "__typename": "ArtifactAlias",
        "id": f"{a['id']}{name}",
        "alias": name,
        "artifactCollectionName": a["name"],
        "artifactCollection": sequence,
    }


def upload(name, place, url, **more):
    "Where the client is to put a file."
    about = dict(id=place, name=name, displayName=name, uploadHeaders=[])
    return {**about, "uploadUrl": f"{url}/storage/{place}", **more}


class Answers:
    "What the client asks, by the operation's name; v holds its variables."

    def __init__(self, server):
        self.server = server

    def find(self, v):
        "The artifact that variables speak of by its id, or None."
        asked = v.get("id") or v.get("artifactID")
        return next((a for a in self.server.artifacts if a["id"] == asked), None)

    def known_run(self, v, name="name"):
        return self.server.run(v["entity"], v["project"], v[name], create=False)

    def Viewer(self, v):
        about = dict(id="u1", entity="me", username="me", name="me", email=None, flags="{}", admin=False)
        none = dict(teams=edges([]), apiKeys=edges([]), organizations=[], deletedAt=None)
        return {"viewer": {**about, **none}}

    GetViewer = GetDefaultEntity = Viewer

    def ServerFeaturesQuery(self, v):
        return {"serverInfo": {"features": []}}

    def OrganizationCoreWeaveOrganizationID(self, v):
        return {"entity": None}

    # Runs

    def RunStoppedStatus(self, v):
        return {"project": {"run": {"stopped": False}}}

    def RunResumeStatus(self, v):
        run = self.known_run(v)
        entity = {"id": "e1", "name": v["entity"] or "me"}
        bucket = run and run_fields(run)
        return {"model": {"id": "p1", "name": v["project"], "entity": entity, "bucket": bucket}}

    def UpsertBucket(self, v):
        inserted = self.known_run(v) is None
        run = self.server.run(v["entity"], v["project"], v["name"])
        run.update({k: v[k] for k in ("config", "displayName", "summaryMetrics") if v.get(k)})
        return {"upsertBucket": {"bucket": run_fields(run), "inserted": inserted}}

    def CreateRunFiles(self, v):
        url = f"{self.server.url}/storage/run/{v['run']}"
        files = [{"name": f, "uploadUrl": f"{url}/{f}"} for f in v["files"]]
        return {"createRunFiles": {"runID": v["run"], "uploadHeaders": [], "files": files}}

    def Run(self, v):
        run = self.known_run(v)
        return {"project": run and {"run": run_fields(run)}}

    def Runs(self, v):
        place = (v["entity"], v["project"])
        runs = [run_fields(r) for key, r in self.server.runs.items() if key[:2] == place]
        project = {"internalId": "1", "runCount": len(runs), "readOnly": False, "runs": edges(runs)}
        return {"project": project if runs else None}

    def RunSampledHistory(self, v):
        keys = json.loads(v["specs"][0])["keys"]
        rows = [row for row in self.known_run(v)["history"] if set(keys) <= set(row)]
        return {"project": {"run": {"sampledHistory": [[{k: row[k] for k in keys} for row in rows]]}}}

    def RunOutputArtifacts(self, v):
        run = self.known_run(v, "run")
        if run is None:
            return {"project": None}
        logged = [a for a in self.server.artifacts if a["run"] is run and a["state"] == "COMMITTED"]
        artifacts = edges([artifact_fields(a, self.server.url) for a in logged])
        return {"project": {"run": {"artifacts": artifacts}}}

    # Artifacts

    def CreateArtifact(self, v):
        run = self.server.run(v["entityName"], v["projectName"], v["runName"])
        names = v.get("artifactCollectionNames") or [v["artifactCollectionName"]]
        aliases = [x["alias"] for x in v.get("aliases") or []]
        about = names[0], v["artifactTypeName"], v["digest"], v.get("metadata"), aliases
        a = self.server.new_artifact(run, *about)
        sequence = {"id": f"seq-{a['name']}", "latestArtifact": None}
        return {"createArtifact": {"artifact": dict(id=a["id"], state="PENDING", artifactSequence=sequence)}}

    def manifest_file(self, id):
        return {"artifactManifest": {"id": id, "file": upload("wandb_manifest.json", id, self.server.url)}}

    def CreateArtifactManifest(self, v):
        self.find(v)["manifest"] = id = f"manifest-{v['artifactID']}"
        return {"createArtifactManifest": self.manifest_file(id)}

    def UpdateArtifactManifest(self, v):
        return {"updateArtifactManifest": self.manifest_file(v["artifactManifestID"])}

    def CreateArtifactFiles(self, v):
        files = []
        for f in v["artifactFiles"]:
            a = self.find(f)
            place = self.server.place(a, f["md5"])
            more = dict(uploadMultipartUrls=None, storagePath=place, artifact={"id": a["id"]})
            files.append(upload(f["name"], place, self.server.url, **more))
        return {"createArtifactFiles": {"files": edges(files)}}

    def CommitArtifact(self, v):
        a = self.find(v)
        self.server.commit(a)
        return {"commitArtifact": {"artifact": {"id": a["id"], "digest": a["digest"]}}}

    def ArtifactByID(self, v):
        return {"artifact": artifact_fields(self.find(v), self.server.url)}

    FetchArtifactManifest = ArtifactByID

    def ArtifactType(self, v):
        name = v["name"].split(":")[0]
        named = [a for a in self.server.artifacts if a["name"] == name and a["state"] == "COMMITTED"]
        return {"project": {"artifact": {"artifactType": {"name": named[0]["type"]}} if named else None}}

    # Sweeps

    def UpsertSweep(self, v):
        name = f"sweep{next(self.server.ids)}"
        self.server.sweeps[name] = {
            "config": v["config"],
            "runs": [],
        }  # runs: what an agent shall run, as dicts
        project = {
            "id": "p1",
            "name": v["projectName"],
            "entity": {"id": "e1", "name": v["entityName"] or "me"},
        }
        sweep = {"name": name, "project": project}
        return {"upsertSweep": {"sweep": sweep, "configValidationWarnings": []}}

    def SweepWithRuns(self, v):
        name = v["sweep"]
        sweep = dict(id=name, name=name, method="grid", state="RUNNING", description=None, runs=edges([]))
        times = dict(createdAt=NOW.format(0, 0), heartbeatAt=None, updatedAt=None, earlyStopJobRunning=False)
        rest = dict(config=self.server.sweeps[name]["config"], bestLoss=None, controller=None, scheduler=None)
        return {"project": {"sweep": {**sweep, **times, **rest}}}

    def CreateAgent(self, v):
        return {"createAgent": {"agent": {"id": v["sweep"]}}}

    def Heartbeat(self, v):
        runs = self.server.sweeps[v["id"]]["runs"]
        commands = []
        if runs:
            args = {k: {"value": x} for k, x in runs.pop(0).items()}
            commands.append({"type": "run", "run_id": f"swept{len(runs)}", "program": None, "args": args})
        return {"agentHeartbeat": {"agent": {"id": v["id"]}, "commands": json.dumps(commands)}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, body=b"{}", status=200, cut=False):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def handle_any(self):
        server = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if server.faults.get("down"):
            self.close_connection = True
            return
        with server.lock:
            server.seen.append((self.command, self.path, body, self.headers.get("Authorization")))
        path = self.path.split("?")[0]
        stored = r"/storage/(.+)|/artifactsV2/[^/]+/([^/]+)/.*/([0-9a-f]+)(?:/[^/]*)?"
        if self.path == "/graphql":
            self.answer_query(json.loads(body))
        elif stream := re.fullmatch(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream", self.path):
            with server.lock:
                self.answer(self.stream(server.run(*stream.groups()), json.loads(body)))
        elif self.command == "PUT" and path.startswith("/storage/"):
            with server.lock:
                server.files[self.path.removeprefix("/storage/")] = body
            self.answer()
        elif self.command == "GET" and (found := re.fullmatch(stored, path)):
            self.send_file(found[1] or f"{found[2]}/{found[3]}")
        else:
            self.answer()  # telemetry

    do_GET = do_POST = do_PUT = do_HEAD = handle_any

    def send_file(self, place):
        "A file, unless something is to go wrong with it. Manifests always come."
        server = self.server
        data = server.files.get(place)
        if data is None:
            return self.answer(status=404)
        faults = [f for f in ("corrupt", "cut", "hang") if server.faults.get(f)]
        fault = faults[0] if faults and not self.path.startswith("/storage/manifest") else None
        if fault:
            server.faults[fault] -= 1
        if fault == "hang":
            return server.released.wait(60)
        if fault == "corrupt":
            data = bytes([data[0] ^ 1]) + data[1:]
        self.answer(data, cut=fault == "cut")

    def stream(self, run, body):
        "What a run logs: rows of history, its summary, that it has ended."
        for name, chunk in body.get("files", {}).items():
            rows = run["history" if name == "wandb-history.jsonl" else "events"]
            if name == "wandb-summary.json":
                run["summaryMetrics"] = chunk["content"][-1]
            elif name.endswith(".jsonl"):
                rows[chunk["offset"] :] = [json.loads(line) for line in chunk["content"]]
        if body.get("complete"):
            run["state"] = "finished" if body.get("exitcode") == 0 else "failed"
        return {"exitcode": None, "limits": {}}

    def answer_query(self, request):
        "The answer to a query, by its name; `query { viewer { id } }` has none."
        server = self.server
        if server.faults.get("unknown_key"):
            return self.answer({"errors": [{"message": "user is not logged in"}]}, 401)
        named = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
        name = named[1] if named else "Viewer"
        variables = request.get("variables") or {}
        if server.faults.get("forbidden") and name not in ("Viewer", "GetViewer", "ServerFeaturesQuery"):
            refusal = {"message": "permission denied", "extensions": {"code": "PERMISSION_ERROR"}}
            return self.answer({"data": None, "errors": [refusal]})
        operation = getattr(Answers(server), name, None)
        if operation is None:
            server.unknown.append(request["query"])
            return self.answer({"data": {}, "errors": [{"message": f"this server does not know {name}"}]})
        with server.lock:
            data = operation(variables.get("input", variables))
        self.answer({"data": data})


if __name__ == "__main__":
    with Server(int(sys.argv[1])) as s:
        threading.Event().wait()
