# One image for web, worker, beat and migrations. Production requirements only, installed with their hashes.
FROM python:3.13-slim AS build
COPY requirements.lock trademaster/local/charts.lock /
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r /requirements.lock
# Of this wheel one script is served, and nothing is imported: see trademaster/charts.py.
RUN /venv/bin/pip install --no-cache-dir --no-deps --only-binary :all: --target /venv/charts --require-hashes -r /charts.lock

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app trademaster
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DJANGO_SETTINGS_MODULE=trademaster.settings
# Collecting static files needs settings, but none of the real ones: these values reach no running container.
RUN SECRET_KEY=build FIELD_ENCRYPTION_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \
    DATABASE_URL=postgres://build/build REDIS_URL=redis://build/0 python manage.py collectstatic --noinput
USER trademaster
EXPOSE 8000
STOPSIGNAL SIGTERM
CMD ["python", "-m", "trademaster.local.web", "--host", "0.0.0.0", "--port", "8000", "--behind-proxy"]
