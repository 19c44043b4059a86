"""Every setting of the house, and the only place that asks the environment, by the readers of environment.py.

docs/operations.md lists the variables. `SIMULATED_BROKERS=1` is the demo and the tests: brokers must then be on this
machine, and every page says SIMULATED.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import dj_database_url
from django.core.exceptions import ImproperlyConfigured

from brokers import registry
from brokers.secret import Hidden
from trademaster.environment import (
    env_address,
    env_bool,
    env_keys,
    env_list,
    env_number,
    env_secret,
    env_signing_keys,
    env_text,
    mail_server,
    redis_database,
)
from trademaster.timetable import timetable

BASE_DIR = Path(__file__).resolve().parent.parent

# --- the installation -------------------------------------------------------------------------------------------------
DEBUG = env_bool("DEBUG")
SIMULATED_BROKERS = env_bool("SIMULATED_BROKERS")
PUBLIC_URL = env_text("PUBLIC_URL", "http://127.0.0.1:8000").rstrip("/")
SECRET_KEY = env_secret("SECRET_KEY")
FIELD_ENCRYPTION_KEY = env_keys("FIELD_ENCRYPTION_KEYS")
JWT_KEYS = env_signing_keys("JWT_KEYS", SECRET_KEY)
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", urlsplit(PUBLIC_URL).hostname or "")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS", PUBLIC_URL)
_HTTPS = PUBLIC_URL.startswith("https://")
# Whose pages may open a socket: ours, by any of our names. The port counts too, because cookies do not see it.
_port = urlsplit(PUBLIC_URL).port
WEBSOCKET_ORIGINS = [f"{urlsplit(PUBLIC_URL).scheme}://{host}{f':{_port}' if _port else ''}" for host in ALLOWED_HOSTS]

ROOT_URLCONF = "trademaster.urls"
ASGI_APPLICATION = "trademaster.asgi.application"
APPEND_SLASH = False
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "channels",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "trademaster",
    "accounts",
    "brokers",
    "market",
    "health",
    "portfolio",
    "orders",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "trademaster.caching.KeptByNobody",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.origin.remember_request",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.middleware.StaffFactor",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "trademaster.pages.installation",
                "trademaster.shell.around",
            ],
        },
    },
]

# --- rows, cache, queue -----------------------------------------------------------------------------------------------
# Each request under ASGI has a thread of its own: a bounded pool, and no connection kept beyond its request.
DATABASE_POOL = int(env_number("DATABASE_POOL", 12))
DATABASES = {"default": dj_database_url.parse(env_secret("DATABASE_URL"), conn_max_age=0)}
# A connection that died with a restarted server is noticed before it is used.
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"]["PASSWORD"] = Hidden(DATABASES["default"]["PASSWORD"])
DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {"min_size": 0, "max_size": DATABASE_POOL, "timeout": 10}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env_secret("REDIS_URL")
# A Redis that hangs costs each question so long; one request may ask several.
REDIS_TIMEOUT_SECONDS = 0.5
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "trademaster.cache.ForgivingRedisCache",
        "LOCATION": redis_database(REDIS_URL, 1),
        "OPTIONS": {"socket_timeout": REDIS_TIMEOUT_SECONDS, "socket_connect_timeout": REDIS_TIMEOUT_SECONDS},
    },
    # What limits guessing: beside the accounts themselves, so that no outage lifts a limit that they do not share.
    "sign_in": {"BACKEND": "trademaster.cache.SignInCache", "LOCATION": "sign_in_counts"},
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # The client's newer protocol writes every message out for a log that nobody reads.
        "CONFIG": {"hosts": [{"address": redis_database(REDIS_URL, 2), "protocol": 2}]},
    },
}

CELERY_BROKER_URL = redis_database(REDIS_URL, 0)
CELERY_TIMEZONE = "Asia/Kolkata"
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 600}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_ROUTES = {
    "health.*": {"queue": "health"},
    "portfolio.*": {"queue": "portfolio"},
    "market.*": {"queue": "market"},
}
HEALTH_TICK_SECONDS = env_number("HEALTH_TICK_SECONDS", 5)
SESSION_TICK_SECONDS = env_number("SESSION_TICK_SECONDS", 10)
REMINDER_TICK_SECONDS = 60
MASTERS_TICK_SECONDS = env_number("MASTERS_TICK_SECONDS", 300)
# Further apart than one batch is long (`market.candles.BATCH_SECONDS`).
CANDLES_TICK_SECONDS = env_number("CANDLES_TICK_SECONDS", 20)
PORTFOLIO_REFRESH_SECONDS = env_number("PORTFOLIO_REFRESH_SECONDS", 2)
# How often limits of who has no page open are looked at; while a market is open their brokers are asked for it.
LIMITS_TICK_SECONDS = env_number("LIMITS_TICK_SECONDS", 60)
# After the close, until a day is wholly written; commodities close five minutes before the day ends.
EQUITY_DAYS_TICK_SECONDS = 120
# How often it is looked which orders' books are to be read.
ORDERS_TICK_SECONDS = env_number("ORDERS_TICK_SECONDS", 1)
# What stops trading by itself: more rejections by brokers than this within a minute; a book that contradicts ours.
HALT_REJECTS_PER_MINUTE = int(env_number("HALT_REJECTS_PER_MINUTE", 20))
HALT_ON_BREAK = env_bool("HALT_ON_BREAK", True)
CELERY_BEAT_SCHEDULE = timetable(
    health=HEALTH_TICK_SECONDS,
    sessions=SESSION_TICK_SECONDS,
    reminders=REMINDER_TICK_SECONDS,
    masters=MASTERS_TICK_SECONDS,
    candles=CANDLES_TICK_SECONDS,
    portfolios=PORTFOLIO_REFRESH_SECONDS,
    limits=LIMITS_TICK_SECONDS,
    equity_days=EQUITY_DAYS_TICK_SECONDS,
    orders=ORDERS_TICK_SECONDS,
    is_simulated=SIMULATED_BROKERS,
)

# --- mail -------------------------------------------------------------------------------------------------------------
EMAIL_URL = env_secret("EMAIL_URL", "")
DEFAULT_FROM_EMAIL = env_text("EMAIL_FROM", "") or f"TradeMaster <trademaster@{urlsplit(PUBLIC_URL).hostname}>"
EMAIL_TIMEOUT = 5
# Without a server letters go to the log, which is what the demo wants.
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_URL else 'console'}.EmailBackend"
if EMAIL_URL:
    _mail = mail_server(EMAIL_URL)
    EMAIL_HOST, EMAIL_PORT = _mail.hostname, _mail.port
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), Hidden(unquote(_mail.password or ""))
    EMAIL_USE_SSL, EMAIL_USE_TLS = _mail.scheme == "smtps", _mail.scheme == "smtp+tls"

# --- people -----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
# How long events of the audit log are kept: five years, and the leap days in them.
AUDIT_DAYS = env_number("AUDIT_DAYS", 1827)
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "dashboard"
LOGOUT_REDIRECT_URL = "login"
# The front door is django-allauth's: account (passwords, e-mail), mfa (second factors), usersessions (the list).
ACCOUNT_ADAPTER = "accounts.adapter.FrontDoor"
ACCOUNT_FORMS = {"login": "accounts.forms.SignInForm", "signup": "accounts.forms.InvitedSignupForm"}
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_DEFAULT_HTTP_PROTOCOL = urlsplit(PUBLIC_URL).scheme
ACCOUNT_EMAIL_VERIFICATION = "optional"  # an invitation that was sent to the address has proven it
ACCOUNT_EMAIL_SUBJECT_PREFIX = "TradeMaster: "
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_SESSION_REMEMBER = True  # for SESSION_COOKIE_AGE, as every session
# Nobody is told whether an address has an account: whoever asks for a new password gets one letter, whichever it is.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = True
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    # Per address and per account, waiting longer and longer: see "Guessing" in docs/operations.md.
    "login_failed": "10/m/ip,5/5m/key,15/h/key,40/d/key",
    "reset_password": "10/m/ip,3/h/key",
    "signup": "10/m/ip",
}
# What allauth guards by itself needs the same proof as what we guard: accounts.step_up decides, by our adapter.
ACCOUNT_REAUTHENTICATION_TIMEOUT = 0
STEP_UP_LIFETIME = timedelta(minutes=env_number("STEP_UP_MINUTES", 10))
# A login of an API client ends so long after it began, however often it is refreshed.
API_SESSION_LIFETIME = timedelta(days=env_number("API_SESSION_DAYS", 30))
TRUSTED_DEVICE_LIFETIME = timedelta(days=env_number("TRUSTED_DEVICE_DAYS", 14))
USERSESSIONS_ADAPTER = "accounts.adapter.Sessions"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_ADAPTER = "trademaster.factors.FactorAdapter"
MFA_FORMS = {
    "authenticate": "accounts.forms.CodeForm",
    "authenticate_webauthn": "accounts.forms.PasskeyForm",
    "add_webauthn": "accounts.forms.NewPasskeyForm",
}
MFA_TOTP_ISSUER = "TradeMaster"
# RFC 6238, 5.2: a code typed in its last second arrives in the next step, and clocks differ. trademaster.cache knows
# those that are spent for as long.
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TRUST_ENABLED = False  # its cookie cannot be listed or taken back: accounts.devices has rows
MFA_ALLOW_UNVERIFIED_EMAIL = True  # nobody can sign up with another's address here
# Browsers offer passkeys to https alone, and to http://localhost.
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not _HTTPS
# In the database alone: a cache that is away must neither sign anybody out nor keep anybody signed in.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SECURE_HSTS_SECONDS = 31_536_000 if _HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _HTTPS  # of our own name: whoever runs other names below it serves them by TLS too
BEHIND_PROXY = env_bool("BEHIND_PROXY")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
# Should the proxy let HTTP through. Its own probes of a container may come without TLS.
SECURE_SSL_REDIRECT = _HTTPS and BEHIND_PROXY
SECURE_REDIRECT_EXEMPT = [r"^health/"]
# Listing a whole domain in browsers is for its owner to decide, not for one installation below it.
SILENCED_SYSTEM_CHECKS = ["security.W021"]
# Our own scripts and styles, as files: nothing inline, nothing from elsewhere, nobody's frame. 'self' covers /ws/ too.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "worker-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}
# Nothing here takes a file, or a long body.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 0

# --- brokers ----------------------------------------------------------------------------------------------------------
# slug → {"base_url": …, "login_url": …, "master_url": …, "stream_url": …, "api_key": …, "api_secret": …}; what is not
# given comes from the broker's spec, or, for the key and the secret, from the trader.
BROKERS: dict[str, dict[str, str]] = {
    slug: {
        "base_url": env_text(f"BROKER_{slug.upper()}_BASE_URL", ""),
        "login_url": env_text(f"BROKER_{slug.upper()}_LOGIN_URL", ""),
        "master_url": env_text(f"BROKER_{slug.upper()}_MASTER_URL", ""),
        "stream_url": env_text(f"BROKER_{slug.upper()}_STREAM_URL", ""),
        "api_key": env_secret(f"BROKER_{slug.upper()}_API_KEY", ""),
        "api_secret": env_secret(f"BROKER_{slug.upper()}_API_SECRET", ""),
    }
    for slug in registry.slugs()
}
# Where the simulated brokers are broken and mended; nothing, but for the demo.
SANDBOX_CONTROL_URL = env_text("SANDBOX_CONTROL_URL", "")
# Where a broker may send the trader's browser back to, besides our own callback pages.
REDIRECT_URIS = env_list("REDIRECT_URIS")
STATE_LIFETIME = timedelta(minutes=10)
# The one fixed address from which orders reach the brokers: they take none from an address that is not registered.
EGRESS_IP = env_address("EGRESS_IP")
# Budgets and circuits stand before every broker call: see docs/operations.md.
GOVERNOR_ENABLED = env_bool("GOVERNOR_ENABLED", True)
GOVERNOR_REDIS_URL = redis_database(REDIS_URL, 3)
GOVERNOR_PROCESSES = max(1, int(env_number("GOVERNOR_PROCESSES", 4)))
ORDERS_PER_SECOND = int(env_number("ORDERS_PER_SECOND", 8))
# An order is decided by what its brokers told so long ago at most; what is older is asked anew.
ORDER_FACTS_LIFETIME = timedelta(seconds=env_number("ORDER_FACTS_SECONDS", 15))
# The same order again within so many seconds is asked about first.
ORDER_DUPLICATE_SECONDS = int(env_number("ORDER_DUPLICATE_SECONDS", 10))
if not 1 <= ORDERS_PER_SECOND <= 10:
    raise ImproperlyConfigured("ORDERS_PER_SECOND must be from 1 to 10: beyond that an algo must be registered.")
# The whole answer comes within this time, however slow a broker is.
PORTFOLIO_DEADLINE_SECONDS = env_number("PORTFOLIO_DEADLINE_SECONDS", 3)
PORTFOLIO_CACHE_SECONDS = env_number("PORTFOLIO_CACHE_SECONDS", 5)
# What the stream process sends to a page: at most one delta in so long; and how often it asks the brokers for the book.
LIVE_INTERVAL_MS = env_number("LIVE_INTERVAL_MS", 250)
LIVE_REFRESH_SECONDS = env_number("LIVE_REFRESH_SECONDS", 15)
# How often quotes are asked of what nobody streams, as far as the brokers' budgets can spare them.
LIVE_POLL_SECONDS = env_number("LIVE_POLL_SECONDS", 5)
HEALTH_INTERVAL_SECONDS = env_number("HEALTH_INTERVAL_SECONDS", 30)
HEALTH_FAILING_INTERVAL_SECONDS = env_number("HEALTH_FAILING_INTERVAL_SECONDS", 5)
# Simulated brokers know neither night nor holiday.
HEALTH_AROUND_THE_CLOCK = env_bool("HEALTH_AROUND_THE_CLOCK", SIMULATED_BROKERS)
MARKET_AROUND_THE_CLOCK = env_bool("MARKET_AROUND_THE_CLOCK", SIMULATED_BROKERS)
HEALTH_RAW_DAYS = env_number("HEALTH_RAW_DAYS", 30)

# --- API --------------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    # A token that is shown counts before a cookie that comes along.
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.bearer.BearerLogin", "trademaster.api.SessionLogin"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.IsTrader"],
    "DEFAULT_RENDERER_CLASSES": ["trademaster.api.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["trademaster.api.JSONParser"],
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is not served: it would describe a thing without asking whose it is
    "DEFAULT_SCHEMA_CLASS": "trademaster.openapi.ScopedSchema",
    "EXCEPTION_HANDLER": "trademaster.api.exception_handler",
    "DEFAULT_THROTTLE_CLASSES": ["accounts.throttles.PerUser"],
    "DEFAULT_THROTTLE_RATES": {
        "user": env_text("API_RATE", "600/min"),
        "connect": env_text("CONNECT_RATE", "30/min"),
        "account": "10/min",
        "orders": env_text("ORDERS_RATE", "300/min"),
        "wrong_token": env_text("WRONG_TOKEN_RATE", "20/min"),  # of one address
    },
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "TradeMaster API",
    "VERSION": "1",
    "DESCRIPTION": "One portfolio over several Indian brokers. Amounts are INR, written as strings; null is unknown.",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # Two fields of one name with words of their own.
    "ENUM_NAME_OVERRIDES": {
        "IncidentKindEnum": "health.models.IncidentKind",
        "ExchangeEnum": "brokers.domain.Exchange",
        "ProductEnum": "brokers.domain.Product",
        "ValidityEnum": "brokers.domain.Validity",
        "ConnectionStatusEnum": "brokers.statuses.STATUS_CHOICES",
        "OrderStatusEnum": "brokers.domain.OrderStatus",
        "OrderStateEnum": "orders.lifecycle.State",
        "GttKindEnum": "brokers.dealing.GttKind",
        "GttStatusEnum": "brokers.dealing.GttStatus",
        "IntentStatusEnum": "orders.serializers.INTENT_STATUSES",
        "OrderedProductEnum": "orders.serializers.PRODUCTS",
        "OrderedValidityEnum": "orders.serializers.VALIDITIES",
        "GttProductEnum": "orders.serializers.GTT_PRODUCTS",
        "ScopeEnum": "accounts.credentials.Scope",
        "RiskScopeEnum": "portfolio.risk.limits.Scope",
        "RiskStateEnum": "portfolio.risk.limits.State",
        "HaltKindEnum": "orders.halt_views.KINDS",
        "HaltLevelEnum": "orders.halt_views.LEVELS",
        "PulledLevelEnum": "orders.halt_views.PULLED",
    },
}

# --- words, time, files -----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en-in"
TIME_ZONE = "Asia/Kolkata"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "trademaster.charts.ChartFinder",
]
WHITENOISE_USE_FINDERS = SIMULATED_BROKERS or DEBUG
# Where files are taken from the apps, nobody collects them, and WhiteNoise need not warn that nobody did.
STATIC_ROOT = None if WHITENOISE_USE_FINDERS else BASE_DIR / "staticfiles"
# Collected files get compressed ones beside them, which WhiteNoise serves to whoever takes them.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = DEBUG

# What an error report or a debug page may show.
DEFAULT_EXCEPTION_REPORTER_FILTER = "trademaster.reporting.NothingOfValue"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "filters": {"secret_addresses": {"()": "trademaster.redaction.SecretAddresses"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env_text("LOG_LEVEL", "INFO")},
    "loggers": {
        # These write whole URLs, queries included, at lower levels: a token could be among them.
        "urllib3": {"level": "WARNING"},
        "requests": {"level": "WARNING"},
        "django.channels.server": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        # They write the path of whatever was refused or failed, and some paths are secrets.
        "django.request": {"filters": ["secret_addresses"]},
        "django.template": {"filters": ["secret_addresses"]},
    },
}
