"""A headless Chromium over its DevTools protocol, for the pages that the writers make; no package of its own is needed.

tornado, which speaks WebSocket, comes with distributed.
"""

import asyncio
import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tornado.websocket import websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass
class Visit:
    """What came of a visit: values of the expressions, and everything that should not happen."""

    values: list = field(default_factory=list)
    complaints: list = field(default_factory=list)


class Browser:
    """One browser process; each visit opens a page of its own."""

    def __init__(self, folder: Path) -> None:
        program = next((p for name in NAMES if (p := shutil.which(name))), None)
        if program is None:
            pytest.skip(f"no browser here (looked for {', '.join(NAMES)})")
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run"]
        home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
        self.process = subprocess.Popen(
            [program, *options, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | home,
        )  # fmt: skip
        file = folder / "DevToolsActivePort"
        for _ in range(300):
            if file.exists() and file.read_text().count("\n"):
                break
            if self.process.poll() is not None:
                pytest.skip("the browser does not start here")
            time.sleep(0.1)
        else:
            self.close()
            pytest.skip("the browser does not start here")
        self.port = int(file.read_text().split()[0])

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)

    def visit(self, address: str, steps: list, width: int = 1280, height: int = 800) -> Visit:
        """Open a page and take steps: JavaScript (awaited), or a key as ``("key", name)``, ``("wheel", pixels)``.

        ``("shot", file)`` takes a picture.
        """
        return asyncio.run(self._visit(address, steps, width, height))

    async def _visit(self, address: str, steps: list, width: int, height: int) -> Visit:
        ask = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(ask) as answer:
            target = json.loads(answer.read())
        socket = await websocket_connect(target["webSocketDebuggerUrl"], max_message_size=1 << 28)
        visit, number = Visit(), 0

        async def send(method: str, **parameters):
            nonlocal number
            number += 1
            mine = number
            await socket.write_message(json.dumps({"id": mine, "method": method, "params": parameters}))
            while True:
                message = json.loads(await asyncio.wait_for(socket.read_message(), 60))
                if message.get("id") == mine:
                    assert "error" not in message, message
                    return message["result"]
                visit.complaints += complaint(message)

        for domain in ("Page", "Runtime", "Log", "Network"):
            await send(f"{domain}.enable")
        await send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        await send("Page.navigate", url=address)
        there = "document.readyState === 'complete' && location.protocol === 'file:'"
        ready = f"new Promise(r => {{ const f = () => {there} ? r(1) : setTimeout(f, 20); f(); }})"
        frames = (
            "new Promise(r => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => r(1))), 60))"
        )
        for step in [ready, frames, *steps]:
            if isinstance(step, str):
                result = await send("Runtime.evaluate", expression=step, awaitPromise=True, returnByValue=True)
                assert "exceptionDetails" not in result, result
                visit.values.append(result["result"].get("value"))
                continue
            kind, value = step
            if kind == "shot":
                picture = await send("Page.captureScreenshot")
                Path(value).write_bytes(base64.b64decode(picture["data"]))
            elif kind == "key":
                text = {"text": value} if len(value) == 1 else {}
                await send("Input.dispatchKeyEvent", type="keyDown", key=value, **text)
                await send("Input.dispatchKeyEvent", type="keyUp", key=value)
            else:
                await send(
                    "Input.dispatchMouseEvent", type="mouseWheel", x=width / 3, y=height / 3, deltaX=0, deltaY=value
                )
            await send("Runtime.evaluate", expression=frames, awaitPromise=True)
        visit.values = visit.values[2:]
        socket.close()
        while await socket.read_message() is not None:
            pass
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/json/close/{target['id']}") as answer:
            answer.read()
        return visit


def complaint(message: dict) -> list[str]:
    """What an event of the browser says that should not be: errors, warnings, dialogs, requests that leave the page."""
    kind, given = message.get("method", ""), message.get("params", {})
    level = given.get("entry", {}).get("level") or given.get("type", "")
    said = kind in {"Log.entryAdded", "Runtime.consoleAPICalled"} and level in {"error", "warning", "assert"}
    if said or kind in {"Runtime.exceptionThrown", "Page.javascriptDialogOpening"}:
        return [kind + json.dumps(given)[:500]]
    if kind == "Network.requestWillBeSent":
        url = given["request"]["url"].split("#")[0]
        if not url.startswith("data:") and not (url.startswith("file:") and given["type"] == "Document"):
            return [f"request: {url}"]
    return []
