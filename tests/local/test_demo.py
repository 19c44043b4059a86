import json
import socket
import stat
from pathlib import Path

import pytest
import responses

from trademaster.local import connect
from trademaster.local.demo import Ports, port_from, require_free
from trademaster.local.environment import SimulatedBroker, Simulation, application_environment, broker_environment
from trademaster.local.failure import ServiceFailed
from trademaster.local.run_directory import Login, RunDirectory, Web

BROKER: SimulatedBroker = {
    "base_url": "http://127.0.0.1:9101",
    "login_url": "http://127.0.0.1:9101/connect/login",
    "master_url": "http://127.0.0.1:9101",
    "stream_url": None,
    "api_key": "key",
    "api_secret": "secret",
    "redirect_uri": "http://127.0.0.1:8000/brokers/callback/zerodha",
    "login": {"user_id": "AB1234", "password": "open sesame"},
}
SIMULATION: Simulation = {"control_url": "http://127.0.0.1:9100", "brokers": {"zerodha": BROKER}}
LOGIN_PAGE = "http://127.0.0.1:9101/connect/login?v=3&api_key=key"
CALLBACK = BROKER["redirect_uri"] + "?request_token=once&state=s"


def environment() -> dict[str, str]:
    return application_environment(
        database_url="postgres://ours",
        redis_url="redis://ours",
        secret_key="k",
        field_encryption_key="f",
        public_url="http://127.0.0.1:8000",
    )


class TestEnvironment:
    def test_the_outside_world_stays_outside(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("BROKER_ZERODHA_BASE_URL", "https://live.example")
        monkeypatch.setenv("DATABASE_URL", "postgres://production")
        monkeypatch.setenv("SECRET_KEY_FILE", "/run/secrets/production")
        monkeypatch.setenv("SIMULATED_BROKERS", "0")
        ours = environment()
        assert "BROKER_ZERODHA_BASE_URL" not in ours
        assert "SECRET_KEY_FILE" not in ours
        assert ours["DATABASE_URL"] == "postgres://ours"
        assert ours["SIMULATED_BROKERS"] == "1"

    def test_the_simulated_brokers_addresses(self):
        assert broker_environment({"angel_one": BROKER}) == {
            "BROKER_ANGEL_ONE_BASE_URL": "http://127.0.0.1:9101",
            "BROKER_ANGEL_ONE_LOGIN_URL": "http://127.0.0.1:9101/connect/login",
            "BROKER_ANGEL_ONE_MASTER_URL": "http://127.0.0.1:9101",
        }


class TestPorts:
    @pytest.mark.parametrize("text", ["http", "0", "-1", "65535", "80.5"])
    def test_nonsense_is_refused_by_name(self, text: str):
        with pytest.raises(ServiceFailed, match=f"^DEMO_PORT={text} is not a port number"):
            port_from({"DEMO_PORT": text}, "DEMO_PORT", 8000)

    def test_defaults(self):
        assert Ports.of_this_machine({"DEMO_PORT": ""}) == Ports(web=8000, sandbox=9100)

    @pytest.mark.parametrize("port", [9100, 9114])
    def test_the_web_server_stays_off_the_brokers_ports(self, port):
        with pytest.raises(
            ServiceFailed, match=rf"^DEMO_PORT={port} is among the simulated brokers' ports, 9100 to 9114"
        ):
            Ports.of_this_machine({"DEMO_PORT": str(port)})
        assert Ports.of_this_machine({"DEMO_PORT": "9115"}).web == 9115

    def test_a_taken_port_is_named_with_the_variable_that_moves_it(self):
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with pytest.raises(ServiceFailed, match=rf"^Port {port} is in use: free it, or set DEMO_PORT to move ours"):
                require_free(range(port, port + 1), "DEMO_PORT")


class TestRunDirectory:
    @pytest.fixture
    def run(self, tmp_path: Path) -> RunDirectory:
        directory = RunDirectory(tmp_path / "run")
        directory.take()
        return directory

    def test_only_its_owner_can_look_into_it(self, run: RunDirectory):
        run.secret_key()
        run.write_demo(SIMULATION, web=None)
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in run.path.iterdir()} == {0o600}

    def test_keys_are_made_once(self, run: RunDirectory):
        assert run.secret_key() == run.secret_key()
        assert run.field_encryption_key() != run.secret_key()

    def test_a_second_demo_is_turned_away(self, run: RunDirectory):
        with pytest.raises(ServiceFailed, match=r"^A demo is already running in .*TRADEMASTER_RUN_DIR"):
            RunDirectory(run.path).take()

    def test_demo_file_and_the_logins_in_it(self, run: RunDirectory):
        assert run.logins() == {}
        web: Web = {
            "url": "http://127.0.0.1:8000",
            "trader": {"username": "trader", "password": "t"},
            "support": {"username": "support", "password": "s"},
        }
        run.write_demo(SIMULATION, web)
        assert json.loads(run.demo_file.read_text()) == {"web": web, **SIMULATION}
        assert run.logins() == {"trader": web["trader"], "support": web["support"]}

    def test_the_sandbox_alone_has_no_logins(self, run: RunDirectory):
        run.write_demo(SIMULATION, web=None)
        assert json.loads(run.demo_file.read_text())["web"] is None
        assert run.logins() == {}


class TestConnect:
    @pytest.fixture
    def net(self):
        with responses.RequestsMock() as mock:
            yield mock

    def test_the_login_page_leads_to_our_callback(self, net: responses.RequestsMock):
        net.post(LOGIN_PAGE, status=302, headers={"Location": "/connect/finish?sess_id=1"})
        net.get("http://127.0.0.1:9101/connect/finish", status=302, headers={"Location": CALLBACK})
        assert connect.log_in_at_broker(LOGIN_PAGE, BROKER) == CALLBACK
        assert net.calls[0].request.body == "user_id=AB1234&password=open+sesame"

    def test_a_refused_login_says_where_and_nothing_secret(self, net: responses.RequestsMock):
        net.post(LOGIN_PAGE, status=403, body="wrong password: open sesame")
        with pytest.raises(connect.ConnectFailed) as caught:
            connect.log_in_at_broker(LOGIN_PAGE, BROKER)
        assert str(caught.value) == "the broker's login page answered 403 and led nowhere"

    def test_of_what_is_left_for_the_visitor_the_keys_are_stored_and_no_more(self, net: responses.RequestsMock):
        web = "http://127.0.0.1:8000"
        net.get(f"{web}/login", headers={"Set-Cookie": "csrftoken=abc; Path=/"})
        net.post(f"{web}/login", status=302, headers={"Location": "/"})
        net.get(f"{web}/api/v1/brokers/connections", json=[])
        net.put(f"{web}/api/v1/brokers/apps/zerodha", status=204)
        login = Login(username="trader", password="p")
        lines: list[str] = []
        assert connect.connect_all(web, login, {"zerodha": BROKER}, lines.append, by_hand={"zerodha"}) == []
        assert lines == []
        assert json.loads(net.calls[-1].request.body or "") == {"api_key": "key", "api_secret": "secret"}

    def test_one_broker_that_fails_does_not_stop_the_next(self, net: responses.RequestsMock):
        web = "http://127.0.0.1:8000"
        net.get(f"{web}/login", headers={"Set-Cookie": "csrftoken=abc; Path=/"})
        net.post(f"{web}/login", status=302, headers={"Location": "/"})
        done = {"broker_type": "done", "status": "CONNECTED", "token_expires_at": None}
        net.get(f"{web}/api/v1/brokers/connections", json=[done])
        net.put(f"{web}/api/v1/brokers/apps/down", status=500)
        net.put(f"{web}/api/v1/brokers/apps/zerodha", status=204)
        net.post(f"{web}/api/v1/brokers/connect/initiate", json={"authorization_url": LOGIN_PAGE})
        net.post(LOGIN_PAGE, status=302, headers={"Location": CALLBACK})
        net.get(CALLBACK, body="connected")
        lines: list[str] = []
        brokers = {"done": BROKER, "down": BROKER, "zerodha": BROKER}
        login = Login(username="trader", password="p")
        assert connect.connect_all(web, login, brokers, lines.append) == ["down"]
        assert lines == ["down is not connected: PUT /api/v1/brokers/apps/down failed: HTTPError 500."]
