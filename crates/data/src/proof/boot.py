"""Starts Odoo on a copy and logs in over HTTP, both inside one network that has nothing else.

What to do is in boot.json beside this file, with the password, which so stands in no list of processes. The last line
says what was seen: "springtide-proof: " and JSON. Runs with the Python of every series, 3.9 and newer.
"""
import http.cookiejar
import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(HERE, "boot.json")) as file:
    PLAN = json.load(file)
ODOO = ["/usr/bin/odoo", "-c", os.path.join(HERE, "odoo.conf"), "-d", PLAN["database"], "--max-cron-threads=0"]
BASE = "http://127.0.0.1:%d" % PLAN["port"]
BAD = re.compile(r" (ERROR|CRITICAL) |Recreate table of model|Some modules are not loaded|inconsistent states")
LOST = "springtide-lost: "


def say(seen):
    sys.stdout.flush()
    print("springtide-proof: " + json.dumps(seen), flush=True)


def bad_lines(path):
    with open(path, errors="replace") as log:
        found = [line.strip()[:300] for line in log if BAD.search(line)]
    return found[:20]


def show(path):
    with open(path, errors="replace") as log:
        sys.stdout.write(log.read()[-200_000:])


def ended(name, command, script=None):
    """Runs Odoo to its end; what it found wrong."""
    path = "/tmp/%s.log" % name
    with open(path, "wb") as log, open(script or os.devnull, "rb") as stdin:
        try:
            code = subprocess.run(command, stdin=stdin, stdout=log, stderr=log, timeout=PLAN["boot_s"]).returncode
        except subprocess.TimeoutExpired:
            raise Missed("Odoo did not come to its end within %d s" % PLAN["boot_s"])
        finally:
            show(path)
    found = bad_lines(path)
    if code != 0:
        found.append("Odoo ended with exit code %d" % code)
    with open(path, errors="replace") as log:
        return found, log.read().splitlines()


def boot():
    found, _ = ended("boot", ODOO + ["--stop-after-init", "--no-http"])
    if found:
        return {"found": found}
    shell = [ODOO[0], "shell"] + ODOO[1:] + ["--no-http", "--shell-interface=python"]
    found, lines = ended("schema", shell, os.path.join(HERE, "schema.py"))
    found += [line[len(LOST) :] for line in lines if line.startswith(LOST)]
    if not found and not any(line.startswith("springtide-looked: ") for line in lines):
        raise Missed("the tables were not looked at")
    return {"found": found}


def login():
    path = "/tmp/serve.log"
    jar = http.cookiejar.CookieJar()
    # No proxy of this machine's environment stands between.
    client = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    with open(path, "wb") as log:
        server = subprocess.Popen(ODOO, stdout=log, stderr=log)
        try:
            return log_in(client, server)
        finally:
            server.kill()
            server.wait()
            show(path)


def get(client, server, path, deadline):
    """The page of a path; tries until the server listens."""
    while True:
        if server.poll() is not None:
            raise Failed("Odoo ended while it was to serve, exit code %s" % server.returncode)
        try:
            with client.open(BASE + path, timeout=PLAN["page_s"]) as answer:
                return answer.geturl(), answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            raise Failed("%s answers %d" % (path, error.code))
        except (urllib.error.URLError, OSError) as error:
            if time.monotonic() > deadline:
                raise Missed("nobody answers at %s: %s" % (path, error))
            time.sleep(0.2)


def log_in(client, server):
    _, _, form = get(client, server, "/web/login", time.monotonic() + PLAN["boot_s"])
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    if not token or 'name="password"' not in form:
        raise Failed("the login page has no form")
    fields = {"csrf_token": token.group(1), "login": PLAN["login"], "password": PLAN["password"]}
    body = urllib.parse.urlencode(fields).encode()
    try:
        with client.open(BASE + "/web/login", data=body, timeout=PLAN["page_s"]) as answer:
            url, status, page = answer.geturl(), answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        raise Failed("the login answers %d" % error.code)
    path = urllib.parse.urlsplit(url).path
    if status != 200 or path.startswith("/web/login") or 'name="password"' in page:
        raise Failed("after the login comes %s with status %d, and it is the login page" % (path, status))
    call = json.dumps({"jsonrpc": "2.0", "method": "call", "params": {}}).encode()
    asked = urllib.request.Request(BASE + "/web/session/get_session_info", call, {"Content-Type": "application/json"})
    with client.open(asked, timeout=PLAN["page_s"]) as answer:
        info = json.load(answer).get("result") or {}
    if info.get("uid") != PLAN["uid"] or info.get("db") != PLAN["database"]:
        raise Failed("the session is not of the user who logged in")
    return {"found": [], "page": path}


class Failed(Exception):
    pass


class Missed(Exception):
    pass


def stage(run):
    begun = time.monotonic()
    try:
        seen = run()
    except Failed as error:
        seen = {"found": [str(error)]}
    except Missed as error:
        seen = {"missed": str(error)}
    except Exception as error:
        seen = {"missed": "%s: %s" % (type(error).__name__, error)}
    seen["ms"] = int((time.monotonic() - begun) * 1000)
    return seen


def main():
    seen = {}
    for name, run in (("boot", boot), ("login", login)):
        if name in PLAN["stages"]:
            seen[name] = stage(run)
            if seen[name].get("found") or seen[name].get("missed"):
                break
    say(seen)


main()
