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


def edges(nodes):
    return {
        "edges": [{"node": n, "cursor": str(i)} for i, n in enumerate(nodes)],
        "pageInfo": {"hasNextPage": False, "endCursor": None},
        "totalCount": len(nodes),
    }


class Server(ThreadingHTTPServer):
    """`with Server() as s:` serves at `s.url`. What arrived lies in `runs`, `artifacts`, `files` and `seen`;
    `faults` says what goes wrong."""

    daemon_threads = True

    def __init__(self, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.runs = {}  # (entity, project, name): what is known of it
        self.artifacts = []
        self.files = {}
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
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        e = sys.exc_info()[1]
        if not isinstance(e, OSError):
            self.errors.append(
                repr(e)
            )  # others are clients that were killed, and connections that a fault cut

    def new_id(self, kind):
        return base64.b64encode(f"{kind}:{next(self.ids)}".encode()).decode()

    def run(self, entity, project, name, create=True):
        key = entity or "me", project or "uncategorized", name
        if key not in self.runs and create:
            self.runs[key] = {
                "id": self.new_id("Run"),
                "name": name,
                "displayName": name,
                "config": "{}",
                "summaryMetrics": "{}",
                "state": "running",
                "history": [],
                "events": [],
                "project": {
                    "id": "p1",
                    "internalId": "1",
                    "name": key[1],
                    "entity": {"id": "e1", "name": key[0]},
                },
            }
        return self.runs.get(key)

    def run_fields(self, r):
        n = len(r["history"])
        keys = {k for row in r["history"] for k in row}
        return {k: v for k, v in r.items() if k not in ("history", "events")} | {
            "projectId": "1",
            "tags": [],
            "notes": "",
            "group": None,
            "jobType": None,
            "commit": None,
            "readOnly": False,
            "createdAt": NOW.format(0, 0),
            "heartbeatAt": NOW.format(0, 0),
            "user": {"id": "u1", "name": "me", "username": "me"},
            "sweepName": None,
            "historyLineCount": n,
            "logLineCount": 0,
            "eventsLineCount": 0,
            "historyKeys": {
                "lastStep": n - 1,
                "sets": [],
                "keys": {
                    k: {
                        "typeCounts": [{"type": "number", "count": n}],
                        "monotonic": False,
                        "previousValue": 0,
                    }
                    for k in keys
                },
            },
            "systemMetrics": "{}",
            "wandbConfig": json.dumps(json.loads(r["config"]).get("_wandb", {}).get("value", {})),
            "historyTail": json.dumps([json.dumps(row) for row in r["history"][-1:]]),
            "eventsTail": "[]",
            "internalId": r["id"],
            "defaultColorIndex": 0,
            "colorIndex": 0,
        }

    def artifact_fields(self, a):
        run, project = a["run"], a["run"]["project"]
        return {
            "__typename": "Artifact",
            "id": a["id"],
            "digest": a["digest"],
            "digestAlgorithm": "MANIFEST_MD5",
            "state": a["state"],
            "size": sum(e["size"] for e in a["entries"].values()),
            "fileCount": len(a["entries"]),
            "commitHash": a["id"],
            "description": None,
            "metadata": a["metadata"],
            "ttlDurationSeconds": -2,
            "ttlIsInherited": True,
            "versionIndex": a["version"],
            "createdAt": a["created"],
            "updatedAt": a["created"],
            "historyStep": None,
            "tags": [],
            "aliases": [
                {
                    "id": f"{a['id']}{n}",
                    "alias": n,
                    "artifactCollectionName": a["name"],
                    "__typename": "ArtifactAlias",
                    "artifactCollection": {
                        "__typename": "ArtifactSequence",
                        "name": a["name"],
                        "project": project,
                    },
                }
                for n in a["aliases"]
            ],
            "artifactType": {"id": a["type"], "name": a["type"], "__typename": "ArtifactType"},
            "currentManifest": {
                "id": "m",
                "file": {
                    "directUrl": f"{self.url}/storage/{a['manifest']}",
                    "url": f"{self.url}/storage/{a['manifest']}",
                },
            },
            "artifactSequence": {
                "__typename": "ArtifactSequence",
                "id": f"seq-{a['name']}",
                "name": a["name"],
                "project": project,
                "latestArtifact": {"id": a["id"], "versionIndex": a["version"]},
                "state": "READY",
            },
            "source": {"__typename": "Run", "name": run["name"], "project": project},
            "createdBy": {"__typename": "Run", "name": run["name"], "project": project},
            "artifactMembership": None,
            "artifactMemberships": edges([]),
            "sourceProject": project,
            "ttl": None,
        }

    def content(self, a, name):
        return self.files[
            f"{a['run']['project']['entity']['name']}/{base64.b64decode(a['entries'][name]['digest']).hex()}"
        ]

    def commit(self, a):
        "Give an artifact its version, its aliases and its manifest's entries, when all is there."
        manifest = json.loads(self.files[a["manifest"]])
        a.update(
            state="COMMITTED",
            entries=manifest["contents"],
            version=sum(b["name"] == a["name"] and b["state"] == "COMMITTED" for b in self.artifacts),
            created=NOW.format(*divmod(next(self.ids), 60)),
        )
        for b in self.artifacts:
            if b is not a and b["name"] == a["name"]:
                b["aliases"] = [n for n in b["aliases"] if n not in a["aliases"]]

    def add_artifact(self, run, name, type, files, metadata=None, aliases=("latest",)):
        "Put an artifact there, as if a client had."
        a = {
            "id": self.new_id("Artifact"),
            "run": run,
            "name": name,
            "type": type,
            "digest": hashlib.md5(repr(sorted(files)).encode()).hexdigest(),
            "metadata": json.dumps(metadata or {}),
            "aliases": list(aliases),
            "state": "PENDING",
        }
        contents = {}
        for path, data in files.items():
            digest = hashlib.md5(data).digest()
            contents[path] = {
                "digest": base64.b64encode(digest).decode(),
                "size": len(data),
                "birthArtifactID": a["id"],
            }
            self.files[f"{run['project']['entity']['name']}/{digest.hex()}"] = data
        a["manifest"] = f"manifest-{a['id']}"
        self.files[a["manifest"]] = json.dumps(
            {
                "version": 1,
                "storagePolicy": "wandb-storage-policy-v1",
                "storagePolicyConfig": {"storageLayout": "V2"},
                "contents": contents,
            }
        ).encode()
        self.artifacts.append(a)
        self.commit(a)
        return a

    # What the client asks, by the operation's name; v holds its variables.
    def Viewer(self, v):
        return {
            "viewer": {
                "id": "u1",
                "entity": "me",
                "username": "me",
                "email": None,
                "flags": "{}",
                "teams": edges([]),
                "name": "me",
                "deletedAt": None,
                "admin": False,
                "apiKeys": edges([]),
                "organizations": [],
            }
        }

    GetViewer = GetDefaultEntity = Viewer

    def ServerFeaturesQuery(self, v):
        return {"serverInfo": {"features": []}}

    def OrganizationCoreWeaveOrganizationID(self, v):
        return {"entity": None}

    def RunStoppedStatus(self, v):
        return {"project": {"run": {"stopped": False}}}

    def RunResumeStatus(self, v):
        run = self.run(v["entity"], v["project"], v["name"], create=False)
        return {
            "model": {
                "id": "p1",
                "name": v["project"],
                "entity": {"id": "e1", "name": v["entity"] or "me"},
                "bucket": run and self.run_fields(run),
            }
        }

    def UpsertBucket(self, v):
        inserted = self.run(v["entity"], v["project"], v["name"], create=False) is None
        run = self.run(v["entity"], v["project"], v["name"])
        run.update({k: v[k] for k in ("config", "displayName", "summaryMetrics") if v.get(k)})
        return {"upsertBucket": {"bucket": self.run_fields(run), "inserted": inserted}}

    def CreateRunFiles(self, v):
        return {
            "createRunFiles": {
                "runID": v["run"],
                "uploadHeaders": [],
                "files": [
                    {"name": f, "uploadUrl": f"{self.url}/storage/run/{v['run']}/{f}"} for f in v["files"]
                ],
            }
        }

    def CreateArtifact(self, v):
        run = self.run(v["entityName"], v["projectName"], v["runName"])
        a = {
            "id": self.new_id("Artifact"),
            "run": run,
            "name": v["artifactCollectionNames"][0]
            if v.get("artifactCollectionNames")
            else v["artifactCollectionName"],
            "type": v["artifactTypeName"],
            "digest": v["digest"],
            "metadata": v.get("metadata"),
            "aliases": [x["alias"] for x in v.get("aliases") or []],
            "state": "PENDING",
            "manifest": None,
            "entries": {},
            "version": None,
            "created": NOW.format(0, 0),
        }
        self.artifacts.append(a)
        return {
            "createArtifact": {
                "artifact": {
                    "id": a["id"],
                    "state": "PENDING",
                    "artifactSequence": {"id": f"seq-{a['name']}", "latestArtifact": None},
                }
            }
        }

    def manifest_file(self, id):
        return {
            "artifactManifest": {
                "id": id,
                "file": {
                    "id": id,
                    "name": "wandb_manifest.json",
                    "displayName": "wandb_manifest.json",
                    "uploadUrl": f"{self.url}/storage/{id}",
                    "uploadHeaders": [],
                },
            }
        }

    def CreateArtifactManifest(self, v):
        self.find(v)["manifest"] = id = f"manifest-{v['artifactID']}"
        return {"createArtifactManifest": self.manifest_file(id)}

    def UpdateArtifactManifest(self, v):
        return {"updateArtifactManifest": self.manifest_file(v["artifactManifestID"])}

    def CreateArtifactFiles(self, v):
        files = []
        for f in v["artifactFiles"]:
            a = self.find(f)
            place = f"{a['run']['project']['entity']['name']}/{base64.b64decode(f['md5']).hex()}"
            files.append(
                {
                    "id": place,
                    "name": f["name"],
                    "displayName": f["name"],
                    "uploadUrl": f"{self.url}/storage/{place}",
                    "uploadHeaders": [],
                    "uploadMultipartUrls": None,
                    "storagePath": place,
                    "artifact": {"id": a["id"]},
                }
            )
        return {"createArtifactFiles": {"files": edges(files)}}

    def CommitArtifact(self, v):
        self.commit(self.find(v))
        return {"commitArtifact": {"artifact": {"id": v["artifactID"], "digest": self.find(v)["digest"]}}}

    def Run(self, v):
        run = self.run(v["entity"], v["project"], v["name"], create=False)
        return {"project": run and {"run": self.run_fields(run)}}

    def Runs(self, v):
        runs = [self.run_fields(r) for key, r in self.runs.items() if key[:2] == (v["entity"], v["project"])]
        return {
            "project": {"internalId": "1", "runCount": len(runs), "readOnly": False, "runs": edges(runs)}
            if runs
            else None
        }

    def RunSampledHistory(self, v):
        run = self.run(v["entity"], v["project"], v["name"])
        keys = json.loads(v["specs"][0])["keys"]
        return {
            "project": {
                "run": {
                    "sampledHistory": [
                        [{k: row[k] for k in keys} for row in run["history"] if set(keys) <= set(row)]
                    ]
                }
            }
        }

    def RunOutputArtifacts(self, v):
        run = self.run(v["entity"], v["project"], v["run"], create=False)
        return {
            "project": run
            and {
                "run": run
                and {
                    "artifacts": edges(
                        [
                            self.artifact_fields(a)
                            for a in self.artifacts
                            if a["run"] is run and a["state"] == "COMMITTED"
                        ]
                    )
                }
            }
        }

    def ArtifactByID(self, v):
        return {"artifact": self.artifact_fields(self.find(v))}

    def FetchArtifactManifest(self, v):
        return {"artifact": self.artifact_fields(self.find(v))}

    def UpsertSweep(self, v):
        name = f"sweep{next(self.ids)}"
        self.sweeps[name] = {
            "config": v["config"],
            "runs": [],
        }  # what an agent shall run: dicts of parameters
        return {
            "upsertSweep": {
                "sweep": {
                    "id": name,
                    "name": name,
                    "project": {
                        "id": "p1",
                        "name": v["projectName"],
                        "entity": {"id": "e1", "name": v["entityName"] or "me"},
                    },
                },
                "configValidationWarnings": [],
            }
        }

    def SweepWithRuns(self, v):
        return {
            "project": {
                "sweep": {
                    "id": v["sweep"],
                    "name": v["sweep"],
                    "method": "grid",
                    "state": "RUNNING",
                    "description": None,
                    "config": self.sweeps[v["sweep"]]["config"],
                    "createdAt": NOW.format(0, 0),
                    "heartbeatAt": None,
                    "updatedAt": None,
                    "earlyStopJobRunning": False,
                    "bestLoss": None,
                    "controller": None,
                    "scheduler": None,
                    "runs": edges([]),
                }
            }
        }

    def CreateAgent(self, v):
        return {"createAgent": {"agent": {"id": v["sweep"]}}}

    def Heartbeat(self, v):
        runs = self.sweeps[v["id"]]["runs"]
        jobs = (
            [
                {
                    "type": "run",
                    "run_id": f"swept{len(runs)}",
                    "program": None,
                    "args": {k: {"value": x} for k, x in runs.pop(0).items()},
                }
            ]
            if runs
            else []
        )
        return {"agentHeartbeat": {"agent": {"id": v["id"]}, "commands": json.dumps(jobs)}}

    def find(self, v):
        "The artifact that variables speak of by its id, or None."
        return next((a for a in self.artifacts if a["id"] == (v.get("id") or v.get("artifactID"))), None)

    def ArtifactType(self, v):
        name = v["name"].split(":")[0]
        a = next((a for a in self.artifacts if a["name"] == name and a["state"] == "COMMITTED"), None)
        return {"project": {"artifact": a and {"artifactType": {"name": a["type"]}}}}


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
        s, faults = self.server, self.server.faults
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if faults.get("down"):
            self.close_connection = True
            return
        with s.lock:
            s.seen.append((self.command, self.path, body, self.headers.get("Authorization")))
        if self.path == "/graphql":
            if faults.get("unknown_key"):
                return self.answer({"errors": [{"message": "user is not logged in"}]}, 401)
            request = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", request["query"])
            with s.lock:
                v = request.get("variables") or {}
                return self.answer(
                    self.graphql(name[1] if name else "Viewer", v.get("input", v), request["query"])
                )  # `query { viewer { id } }` has no name
        if stream := re.fullmatch(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream", self.path):
            with s.lock:
                return self.answer(self.stream(s.run(*stream.groups()), json.loads(body)))
        if self.path.startswith("/storage/") and self.command == "PUT":
            with s.lock:
                s.files[self.path[9:]] = body
            return self.answer()
        if (
            place := re.fullmatch(
                r"/storage/(.+)|/artifactsV2/[^/]+/([^/]+)/.*/([0-9a-f]+)(?:/[^/]*)?", self.path.split("?")[0]
            )
        ) and self.command == "GET":
            data = s.files.get(place[1] or f"{place[2]}/{place[3]}")
            if data is None:
                return self.answer(status=404)
            fault = next(
                (
                    f
                    for f in ("corrupt", "cut", "hang")
                    if faults.get(f) and not self.path.startswith("/storage/manifest")
                ),
                None,
            )
            if fault:
                faults[fault] -= 1
            if fault == "hang":
                return s.released.wait(60)
            return self.answer(
                bytes([data[0] ^ 1]) + data[1:] if fault == "corrupt" else data, cut=fault == "cut"
            )
        self.answer()  # telemetry

    do_GET = do_POST = do_PUT = do_HEAD = handle_any

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

    def graphql(self, name, v, query):
        s = self.server
        if s.faults.get("forbidden") and name not in ("Viewer", "GetViewer", "ServerFeaturesQuery"):
            return {
                "data": None,
                "errors": [{"message": "permission denied", "extensions": {"code": "PERMISSION_ERROR"}}],
            }
        f = getattr(s, name or "", None)
        if f is None:
            s.unknown.append(query)
        return (
            {"data": f(v)}
            if f
            else {"data": {}, "errors": [{"message": f"this server does not know {name}"}]}
        )


if __name__ == "__main__":
    import sys

    with Server(int(sys.argv[1])) as s:
        threading.Event().wait()
