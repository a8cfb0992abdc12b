"""Runs Xray out of the PyPI wheel xray-core, as `xray run -c FILE` would: blocks while it runs, exits 23 if it refuses the file."""
import sys

import xray

xray.startFromJSON(open(sys.argv[1], encoding="utf-8").read())
