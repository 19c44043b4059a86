"""What the risk report's own verbs say no with: each a stable code, words and a remedy. See `trademaster.api`."""

from __future__ import annotations

from rest_framework import exceptions, status


class RiskRefused(exceptions.APIException):
    status_code: int = status.HTTP_400_BAD_REQUEST
    default_detail = "This cannot be."
    default_code = "risk_refused"
    remedy = "See docs/risk.md."


class ScenarioWrong(RiskRefused):
    """`code` is one of `own_scenarios.CODES`; `where` names the field."""

    def __init__(self, detail: str, *, code: str, remedy: str, field: str) -> None:
        super().__init__(detail)
        self.default_code = code
        self.remedy = remedy
        self.where = {"field": field} if field else None


class ScenarioExists(RiskRefused):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There is a scenario of yours by this code already."
    default_code = "scenario_exists"
    remedy = "Choose another code, or remove that one first."


class TooManyScenarios(RiskRefused):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There are as many scenarios of yours as one person may have."
    default_code = "too_many_scenarios"
    remedy = "Remove one first."


class FlowInFuture(RiskRefused):
    default_detail = "This day has not come yet."
    default_code = "cash_flow_in_future"
    remedy = "Enter a payment once it has been made."


class FlowOfNothing(RiskRefused):
    default_detail = "A payment of nothing is none."
    default_code = "cash_flow_zero"
    remedy = "Send what was paid in as a positive amount, what was taken out as a negative one."


class TooManyFlows(RiskRefused):
    status_code = status.HTTP_409_CONFLICT
    default_detail = "There are as many payments noted for this day as one day may have."
    default_code = "too_many_cash_flows"
    remedy = "Remove one, or note their sum."


class UnknownSections(RiskRefused):
    default_detail = "The report has no such section."
    default_code = "risk_section_unknown"
    remedy = "See `sections` of GET /api/v1/risk/report at /api/docs."
