"""The interfaces that are known: one row each, and one an operation that somebody attacks or that we answer.

Sources: the field's lists of UUIDs, MS-SCMR, MS-SRVS, MS-RPRN, MS-TSCH, MS-DCOM, MS-RPCE, and Microsoft's bulletins,
which a row names. What is not in the table is refused, as by a Windows that has no such service."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple


class Operation(NamedTuple):
    """One operation. An `exploit` is recognised in stubs of `bytes_min` and more."""

    name: str
    exploit: str = ""
    reference: str = ""
    bytes_min: int = 0


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface: its name, version, the pipes that lead to it and its operations by their number."""

    name: str
    version: str
    pipes: tuple[str, ...]
    operations: dict[int, Operation]


# UUID: (name, version, pipes, operations as `number name [exploit reference bytes_min]`, separated by `;`)
_ROWS: dict[str, tuple[str, str, str, str]] = {
    "e1af8308-5d1f-11c9-91a4-08002b14a0fa": (
        "epm", "3.0", "epmapper",
        "2 ept_lookup; 3 ept_map; 4 ept_lookup_handle_free",
    ),
    "367abb81-9844-35f1-ad32-98f038001003": (
        "svcctl", "2.0", "svcctl ntsvcs scerpc",
        "0 CloseServiceHandle; 1 ControlService; 2 DeleteService; 6 QueryServiceStatus; 11 ChangeServiceConfigW; "
        "12 CreateServiceW; 14 EnumServicesStatusW; 15 OpenSCManagerW; 16 OpenServiceW; 17 QueryServiceConfigW; "
        "19 StartServiceW; 24 CreateServiceA; 27 OpenSCManagerA; 28 OpenServiceA; 31 StartServiceA; "
        "40 QueryServiceStatusEx; 44 CreateServiceWOW64A; 45 CreateServiceWOW64W",
    ),
    "4b324fc8-1670-01d3-1278-5a47bf6ee188": (
        "srvsvc", "3.0", "srvsvc browser wkssvc",
        "12 NetrSessionEnum; 15 NetrShareEnum; 16 NetrShareGetInfo; 21 NetrServerGetInfo; 28 NetrRemoteTOD; "
        "30 NetprPathType; 31 NetprPathCanonicalize ms08-067 CVE-2008-4250 512; 32 NetprPathCompare; "
        "34 NetprNameCanonicalize; 36 NetrShareEnumSticky",
    ),
    "6bffd098-a112-3610-9833-46c3f87e345a": (
        "wkssvc", "1.0", "wkssvc",
        "0 NetrWkstaGetInfo; 2 NetrWkstaUserEnum; 22 NetrJoinDomain2 ms06-070 CVE-2006-4691 512; "
        "27 NetrAddAlternateComputerName ms03-049 CVE-2003-0812 512",
    ),
    "3919286a-b10c-11d0-9ba8-00c04fd92ef5": (
        "dssetup", "0.0", "lsarpc lsass",
        "0 DsRolerGetPrimaryDomainInformation; 9 DsRolerUpgradeDownlevelServer ms04-011 CVE-2003-0533 256",
    ),
    "4d9f4ab8-7d1c-11cf-861e-0020af6e7c57": (
        "IActivation", "0.0", "epmapper",
        "0 RemoteActivation ms03-026 CVE-2003-0352 512",
    ),
    "000001a0-0000-0000-c000-000000000046": (
        "ISystemActivator", "0.0", "epmapper",
        "3 RemoteGetClassObject; 4 RemoteCreateInstance ms03-039 CVE-2003-0528 2048",
    ),
    "99fcfec4-5260-101b-bbcb-00aa0021347a": (
        "IObjectExporter", "0.0", "epmapper",
        "0 ResolveOxid; 1 SimplePing; 2 ComplexPing; 3 ServerAlive; 4 ResolveOxid2; 5 ServerAlive2",
    ),
    "8d9f4e40-a03d-11ce-8f69-08003e30051b": (
        "pnp", "1.0", "browser ntsvcs",
        "10 PNP_GetDeviceList ms05-047 CVE-2005-2120 512; 11 PNP_GetDeviceListSize ms05-047 CVE-2005-2120 512; "
        "54 PNP_QueryResConfList ms05-039 CVE-2005-1983 512",
    ),
    "12345678-1234-abcd-ef00-0123456789ab": (
        "spoolss", "1.0", "spoolss",
        "0 RpcEnumPrinters ms05-043 CVE-2005-1984 512; 1 RpcOpenPrinter; 10 RpcEnumPrinterDrivers; "
        "17 RpcStartDocPrinter; 18 RpcStartPagePrinter; 19 RpcWritePrinter; 20 RpcEndPagePrinter; "
        "23 RpcEndDocPrinter; 29 RpcClosePrinter; "
        "65 RpcRemoteFindFirstPrinterChangeNotificationEx printerbug MS-RPRN; 69 RpcOpenPrinterEx; "
        "70 RpcAddPrinterEx; 89 RpcAddPrinterDriverEx printnightmare CVE-2021-34527",
    ),
    "76f03f96-cdfd-44fc-a22c-64950a001209": (
        "IRemoteWinspool", "1.0", "spoolss",
        "0 RpcAsyncOpenPrinter; 20 RpcAsyncClosePrinter; 39 RpcAsyncAddPrinterDriver printnightmare CVE-2021-34527",
    ),
    "1ff70682-0a51-30e8-076d-740be8cee98b": ("atsvc", "1.0", "atsvc", "0 NetrJobAdd; 1 NetrJobDel; 2 NetrJobEnum"),
    "86d35949-83c9-4044-b424-db363231fd0c": (
        "ITaskSchedulerService", "1.0", "atsvc",
        "0 SchRpcHighestVersion; 1 SchRpcRegisterTask; 2 SchRpcRetrieveTask; 12 SchRpcRun; 13 SchRpcDelete; "
        "16 SchRpcGetLastRunInfo",
    ),
    "12345778-1234-abcd-ef00-0123456789ab": (
        "lsarpc", "0.0", "lsarpc lsass netlogon samr",
        "0 LsarClose; 6 LsarOpenPolicy; 7 LsarQueryInformationPolicy; 15 LsarLookupSids; 44 LsarOpenPolicy2; "
        "46 LsarQueryInformationPolicy2; 57 LsarLookupSids2",
    ),
    "12345778-1234-abcd-ef00-0123456789ac": (
        "samr", "1.0", "samr lsass lsarpc",
        "0 SamrConnect; 1 SamrCloseHandle; 5 SamrLookupDomainInSamServer; 6 SamrEnumerateDomainsInSamServer; "
        "7 SamrOpenDomain; 13 SamrEnumerateUsersInDomain; 34 SamrOpenUser; 36 SamrQueryInformationUser; "
        "47 SamrQueryInformationUser2; 57 SamrConnect2; 62 SamrConnect4; 64 SamrConnect5",
    ),
    "12345678-1234-abcd-ef00-01234567cffb": (
        "netlogon", "1.0", "netlogon lsass",
        "4 NetrServerReqChallenge; 26 NetrServerAuthenticate3 zerologon CVE-2020-1472; 30 NetrServerPasswordSet2",
    ),
    "c681d488-d850-11d0-8c52-00c04fd90f7e": (
        "efsrpc", "1.0", "lsarpc lsass",
        "0 EfsRpcOpenFileRaw petitpotam CVE-2021-36942",
    ),
    "df1941c5-fe89-4e79-bf10-463657acf44d": (
        "efsrpc", "1.0", "efsrpc",
        "0 EfsRpcOpenFileRaw petitpotam CVE-2021-36942",
    ),
    "338cd001-2244-31f1-aaaa-900038001003": (
        "winreg", "1.0", "winreg",
        "0 OpenClassesRoot; 1 OpenCurrentUser; 2 OpenLocalMachine; 4 OpenUsers; 5 BaseRegCloseKey; 6 BaseRegCreateKey; "
        "7 BaseRegDeleteKey; 8 BaseRegDeleteValue; 9 BaseRegEnumKey; 10 BaseRegEnumValue; 11 BaseRegFlushKey; "
        "15 BaseRegOpenKey; 16 BaseRegQueryInfoKey; 17 BaseRegQueryValue; 20 BaseRegSaveKey; 22 BaseRegSetValue; "
        "26 BaseRegGetVersion; 31 BaseRegSaveKeyEx; 35 BaseRegDeleteKeyEx",
    ),
    "5a7b91f8-ff00-11d0-a9b2-00c04fb6e6fc": (
        "messenger", "1.0", "ntsvcs",
        "0 NetrSendMessage ms03-043 CVE-2003-0717 512",
    ),
    "fdb3a030-065f-11d1-bb9b-00a024ea5525": (
        "qmcomm", "1.0", "msmq",
        "6 QMCreateObjectInternal ms05-017 CVE-2005-0059 512; 9 QMDeleteObject ms07-065 CVE-2007-3039 300",
    ),
    "50abc2a4-574d-40b3-9d66-ee4fd5fba076": (
        "dnsserver", "5.0", "DNSSERVER",
        "1 DnssrvQuery ms07-029 CVE-2007-1748 512; 5 DnssrvQuery2",
    ),
    "2f5f3220-c126-1076-b549-074d078619da": (
        "nddeapi", "1.2", "nddeapi",
        "12 NDdeSetTrustedShareW ms04-031 CVE-2004-0206 512",
    ),
    "e67ab081-9844-3521-9d32-834f038001c0": (
        "nwwks", "1.0", "nwwks",
        "1 NwrOpenEnumServers ms06-066 CVE-2006-4688 256; 9 NwOpenEnumNdsSubTrees ms06-066 CVE-2006-4688 256",
    ),
    "20610036-fa22-11cf-9823-00a0c911e5df": (
        "rasrpc", "1.0", "ROUTER browser",
        "12 RasRpcSubmitRequest ms06-025 CVE-2006-2370 512",
    ),
    "342cfd40-3c6c-11ce-a893-08002b2e9c6d": ("llsrpc", "0.0", "llsrpc", "0 LlsrConnect ms05-010 CVE-2005-0050 256"),
    "300f3532-38cc-11d0-a3f0-0020af6b0add": ("trkwks", "1.2", "trkwks", ""),
    "3f99b900-4d87-101b-99b7-aa0004007f07": ("mgmt-sql", "1.0", "sql\\query", ""),
    "afa8bd80-7d8a-11c9-bef4-08002b102989": ("mgmt", "1.0", "", "0 inq_if_ids; 1 inq_stats; 2 is_server_listening"),
}  # fmt: skip


@cache
def interface(uuid: str, major: int) -> Interface | None:
    """Return the interface of that UUID and major version, None if it is none of ours. Read when first asked for."""
    row = _ROWS.get(uuid)
    if row is None or int(row[1].partition(".")[0]) != major:
        return None
    name, version, pipes, text = row
    operations: dict[int, Operation] = {}
    for entry in filter(None, text.split(";")):
        number, operation, *rest = entry.split()
        exploit, reference, least = (*rest, "", "", "")[:3]
        operations[int(number)] = Operation(operation, exploit, reference, int(least or 0))
    return Interface(name, version, tuple(pipes.split()), operations)


@cache
def pipes() -> frozenset[str]:
    """Return the names of all pipes, in lower case."""
    return frozenset(pipe.lower() for row in _ROWS.values() for pipe in row[2].split())
