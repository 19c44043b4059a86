import sys

from brokers.simulation.command import main

sys.exit(main())
