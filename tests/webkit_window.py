"""A browser of few lines around WebKitGTK, which WebKitWebDriver starts as `python3 webkit_window.py FOLDER
WIDTH HEIGHT` in Debian's own Python, which has the bindings. WebKit's MiniBrowser would do, but when a driver
steers it, it forgets all that it stored, and here a browser is killed and has to find again what it kept.

FOLDER holds the profile; `preload.js` in it, if there is one, runs before the scripts of each page, and
downloads go to `downloads`.
"""

import pathlib
import sys

import gi

gi.require_version("Gtk", "3.0")
gi.require_version("WebKit2", "4.1")
from gi.repository import Gtk, WebKit2  # noqa: E402

folder = pathlib.Path(sys.argv[1])
width, height = map(int, sys.argv[2:4])
manager = WebKit2.WebsiteDataManager(
    base_data_directory=str(folder / "data"), base_cache_directory=str(folder / "cache")
)
context = WebKit2.WebContext(website_data_manager=manager)
context.set_automation_allowed(True)


def scripts():
    "What runs before the scripts of a page."
    content = WebKit2.UserContentManager()
    path = folder / "preload.js"
    if path.exists():
        everywhere = WebKit2.UserContentInjectedFrames.ALL_FRAMES
        start = WebKit2.UserScriptInjectionTime.START
        content.add_script(WebKit2.UserScript(path.read_text(), everywhere, start, None, None))
    return content


def new_view(session):
    "Another tab: a window of its own, so that both are seen."
    view = WebKit2.WebView(
        web_context=context, is_controlled_by_automation=True, user_content_manager=scripts()
    )
    window = Gtk.Window(default_width=width, default_height=height)
    window.add(view)
    window.show_all()
    return view


def driven(_, session):
    about = WebKit2.ApplicationInfo()
    about.set_name("webkit_window")
    about.set_version(1, 0, 0)
    session.set_application_info(about)
    session.connect("create-web-view", new_view)


def downloads(_, download):
    def choose(download, name):
        download.set_destination((folder / "downloads" / name).as_uri())
        return True

    download.connect("decide-destination", choose)


context.connect("automation-started", driven)
context.connect("download-started", downloads)
Gtk.main()
