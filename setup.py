"""Everything that varies lies in settings.ini."""

from configparser import ConfigParser
from pathlib import Path
from shutil import copy, rmtree

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).parent
config = ConfigParser(delimiters=["="])
config.read(here / "settings.ini", encoding="utf-8")
c = config["DEFAULT"]


def requirements(key):
    "The requirements listed under a key: one a line, with the reason after `#`."
    return [line.split("#")[0].strip() for line in c.get(key, "").splitlines() if line.split("#")[0].strip()]


class BuildWithPage(build_py):
    """A wheel has collect.html beside the modules; an editable install finds the one in the root.
    It is built afresh: what an earlier build left would bring deleted modules back."""

    def run(self):
        package = Path(self.build_lib) / c["lib_name"]
        if not self.editable_mode:
            rmtree(package, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            copy(here / "collect.html", package)


setup(
    name=c["lib_name"],
    version=c["version"],
    description=c["description"],
    keywords=c["keywords"],
    author=c["author"],
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    url=c["git_url"],
    python_requires=f">={c['min_python']}",
    packages=find_packages(include=["cursivetransformer", "cursivetransformer.*"]),
    package_data={"": ["*.safetensors", "*.zip", "*.md", "*.css", "*.js", "*.html"]},
    install_requires=requirements("requirements"),
    extras_require={name: requirements(f"{name}_requirements") for name in ("widgets", "plotter", "dev")},
    entry_points={"console_scripts": ["cursive=cursivetransformer.cli:main"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Natural Language :: English",
        *(f"Programming Language :: Python :: 3.{v}" for v in range(int(c["min_python"].split(".")[1]), 15)),
    ],
    zip_safe=False,
    cmdclass={"build_py": BuildWithPage},
)
