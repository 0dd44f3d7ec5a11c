"""A small Hugging Face Hub on this machine, for tests.

It speaks the calls of huggingface_hub that push and load models: create a
repository, upload (regular files in the commit, weights by Git LFS), look up a
revision, list and download its files. No Xet: set HF_HUB_DISABLE_XET.
"""

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WRITER, READER = "hf_writer", "hf_reader"  # tokens


class SmallHub:
    """Runs in a thread while it is open; `url` is its `HF_ENDPOINT`.

    `repos` has the files of each repository by commit, `created` how it was
    asked for, `fetched` the names of the files that were downloaded, in order.
    """

    def __enter__(self):
        self.repos, self.private, self.blobs, self.fetched = {}, {}, {}, []
        self.created = {}

        class _Handler(_Requests):
            hub = self

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.stop()

    def stop(self):
        """Ends it; a second time, too."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def commit(self, repo, files):
        """Adds files to a repository; returns the commit."""
        versions = self.repos.setdefault(repo, {})
        files = {**(list(versions.values())[-1] if versions else {}), **files}
        names = json.dumps([repo, len(versions), sorted(files)])
        commit = hashlib.sha1(names.encode()).hexdigest()
        versions[commit] = files
        return commit

    def commit_folder(self, repo, folder):
        """Adds what lies in a folder; returns the commit."""
        paths = (path for path in Path(folder).rglob("*") if path.is_file())
        return self.commit(
            repo,
            {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths},
        )

    def environment(self, home, token=WRITER):
        """Variables for a process that uses this Hub and no other."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            **({"HF_TOKEN": token} if token else {}),
        }


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Logs nothing."""

    def answer(self, status, content=None, body=None, **headers):
        body = json.dumps(content or {}).encode() if body is None else body
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code="", message="no"):
        self.answer(
            status,
            {"error": message},
            X_Error_Code=code,
            X_Error_Message=message,
        )

    def token(self):
        return self.headers.get("Authorization", "").partition(" ")[2]

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_POST(self):
        path, content = self.path.partition("?")[0], self.body()
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if self.token() == READER:
            return self.refuse(403, message="this token may read")
        if self.token() != WRITER:
            return self.refuse(
                401, message="Invalid credentials in Authorization header"
            )
        if path == "/api/repos/create":
            return self.create(json.loads(content))
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.offer_uploads(json.loads(content))
        *_, user, name, action, revision = path.split("/")
        if action == "preupload":
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs"
                    if file["path"].endswith((".safetensors", ".pt", ".bin"))
                    else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(content)["files"]
            ]
            return self.answer(200, {"files": files})
        assert (action, revision) == ("commit", "main"), path
        files = {}
        for line in content.decode().splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
        commit = self.hub.commit(f"{user}/{name}", files)
        url = f"{self.hub.url}/{user}/{name}/commit/{commit}"
        return self.answer(200, {"commitUrl": url, "commitOid": commit})

    def create(self, request):
        repo = f"{request['organization']}/{request['name']}"
        space = "spaces/" if request.get("type") == "space" else ""
        url = f"{self.hub.url}/{space}{repo}"
        if repo in self.hub.repos:
            return self.answer(
                409, {"url": url, "error": "You have it already"}
            )
        self.hub.repos[repo] = {}
        self.hub.private[repo] = request["visibility"] == "private"
        self.hub.created[repo] = request
        return self.answer(200, {"url": url})

    def offer_uploads(self, request):
        objects = [
            {
                **file,
                "actions": {
                    "upload": {"href": f"{self.hub.url}/up/{file['oid']}"}
                },
            }
            for file in request["objects"]
        ]
        return self.answer(200, {"transfer": "basic", "objects": objects})

    def do_PUT(self):
        content = self.body()
        oid = hashlib.sha256(content).hexdigest()
        assert self.path == f"/up/{oid}"
        self.hub.blobs[oid] = content
        self.answer(200)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0].removeprefix("/api/models")
        _, user, name, action, revision, *rest = path.split("/")
        repo = f"{user}/{name}"
        if repo not in self.hub.repos or (
            self.hub.private.get(repo) and self.token() not in (WRITER, READER)
        ):
            return self.refuse(401 if not self.token() else 404, "RepoNotFound")
        versions = self.hub.repos[repo]
        commit = [*versions][-1] if revision == "main" else revision
        if commit not in versions:
            return self.refuse(404, "RevisionNotFound")
        files = versions[commit]
        if action == "revision":
            siblings = [{"rfilename": file} for file in files]
            return self.answer(
                200, {"id": repo, "sha": commit, "siblings": siblings}
            )
        if action == "tree":
            return self.answer(200, body=json.dumps(_tree(files)).encode())
        assert action == "resolve", path
        file = "/".join(rest)
        if file not in files:
            return self.refuse(404, "EntryNotFound")
        if self.command == "GET":
            self.hub.fetched.append(file)
        digest = hashlib.sha256(files[file]).hexdigest()
        return self.answer(
            200, body=files[file], X_Repo_Commit=commit, ETag=f'"{digest}"'
        )


def _tree(files):
    return [
        {
            "type": "file",
            "path": name,
            "size": len(content),
            "oid": hashlib.sha1(content).hexdigest(),
        }
        for name, content in files.items()
    ]
