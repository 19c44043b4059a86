"""How the house of a rehearsal is set: the same settings as anywhere, only quicker. Seconds."""

TICK_SECONDS, CHECK_SECONDS, FAILING_SECONDS, SESSION_SECONDS = 1, 5, 2, 2

PACE = {
    "HEALTH_TICK_SECONDS": str(TICK_SECONDS),
    "HEALTH_INTERVAL_SECONDS": str(CHECK_SECONDS),
    "HEALTH_FAILING_INTERVAL_SECONDS": str(FAILING_SECONDS),
    "SESSION_TICK_SECONDS": str(SESSION_SECONDS),
}
# A storm is what would pull the kill switch by itself: there it is pulled by hand, at a moment of its own.
UNHALTED = {"HALT_ON_BREAK": "0", "HALT_REJECTS_PER_MINUTE": "100000"}
