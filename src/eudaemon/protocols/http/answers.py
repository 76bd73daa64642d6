"""What vulnerable products answer. Data only.

In a body or header `{output}` is what the command printed, `{json}` the same as the inside of a JSON text; `{model}`
and `{id}` come from persona and session.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """A response without its head."""

    status: int
    content_type: str
    body: str
    header: tuple[str, str] | None = None

    @property
    def shows_output(self) -> bool:
        """Whether the peer gets to see what its command printed."""
        return (
            "{output}" in self.body
            or "{json}" in self.body
            or (self.header is not None and "{output}" in self.header[1])
        )


_ENVELOPE = (
    '<?xml version="1.0"?>\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>{0}</s:Body></s:Envelope>\n'
)
PAGE = Answer(200, "text/html", "<html><head><title>{model}</title></head><body></body></html>\n")
HTML = Answer(200, "text/html", "{output}")
OUTPUT = Answer(200, "text/plain", "{output}")
OUTPUT_HEADER = Answer(302, "text/html", "", ("X-Cmd-Response", "{output}"))
OUTPUT_JSON = Answer(
    200, "application/json", '{"kind":"tm:util:bash:runstate","command":"run","commandResult":"{json}"}'
)
OUTPUT_REDIRECT = Answer(303, "text/x-component", "", ("X-Action-Redirect", "/login?a={output};push"))
OUTPUT_ERRORS = Answer(200, "application/json", '{"imports":{"errors":[]},"function":{"errors":["b\'{json}\'"]}}')
OK = Answer(200, "text/plain", "OK")
EMPTY = Answer(200, "text/html", "")
JSON = Answer(200, "application/json", '{"code":0,"message":"success"}\n')
XML = Answer(200, "text/xml", '<?xml version="1.0" encoding="UTF-8"?>\n<config><nas_sharing><auth_state>1</auth_state>'
             "</nas_sharing></config>\n{output}")  # fmt: skip
SOAP = Answer(200, "text/xml", _ENVELOPE.format('<u:Response xmlns:u="urn:schemas-upnp-org:service:1"></u:Response>'))
SOAP_FAULT = Answer(
    500, "text/xml", _ENVELOPE.format("<s:Fault><faultcode>s:Server</faultcode><faultstring>0</faultstring></s:Fault>")
)
JOB = Answer(200, "application/json", '{"job_id": "raysubmit_{id}", "submission_id": "raysubmit_{id}"}')
TICKET = Answer(200, "text/xml", '<?xml version="1.0" encoding="UTF-8"?><AuthenticateResponse xmlns="http://citrix.com/'
                'authentication/response/1"><Status>success</Status><Result>more-info</Result><InitialValue></InitialValue>'
                "</AuthenticateResponse>")  # fmt: skip
CREATED = Answer(201, "text/html", "")
ACCEPTED = Answer(202, "application/json", "")
REDIRECT = Answer(302, "text/html", "")
ERROR_500 = Answer(500, "text/html", "<html><body><h1>500 Internal Server Error</h1></body></html>\n")

# What is asked without an exploit, before one: method, path (as in the table of exploits), answer.
SERVICES = (
    ("POST", "/ws/v1/cluster/apps/new-application", Answer(
        200, "application/json", '{"application-id":"application_{id}_0001","maximum-resource-capability":'
        '{"memory":8192,"vCores":4}}')),
    ("GET", "/hnap1*", Answer(
        200, "text/xml", _ENVELOPE.format(
            '<GetDeviceSettingsResponse xmlns="http://purenetworks.com/HNAP1/"><GetDeviceSettingsResult>OK'
            "</GetDeviceSettingsResult><Type>GatewayWithWiFi</Type><ModelName>{model}</ModelName>"
            "</GetDeviceSettingsResponse>"))),
    ("GET", "/*desc.xml", Answer(
        200, "text/xml", '<?xml version="1.0"?>\n<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>'
        "urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType><modelName>{model}</modelName>"
        "</device></root>\n")),
)  # fmt: skip
