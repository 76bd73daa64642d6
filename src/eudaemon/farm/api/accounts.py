"""The API's routes for logging in and out, passwords and tokens."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool

from eudaemon.events import rfc3339
from eudaemon.farm.accounts import SESSION_S_MAX, AccountError, Token, TooManyAttemptsError
from eudaemon.farm.api import models
from eudaemon.farm.api.common import FAILURES, NOT_FOUND, PartsHere, User
from eudaemon.farm.api.guard import COOKIE, session_key

router = APIRouter(prefix="/api", tags=["accounts"], responses=FAILURES)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _refused(error: AccountError, status: int) -> HTTPException:
    if isinstance(error, TooManyAttemptsError):
        return HTTPException(429, str(error), {"Retry-After": str(error.wait_s)})
    return HTTPException(status, str(error))


@router.post("/login", summary="Log in; the answer sets a cookie")
async def login(parts: PartsHere, request: Request, response: Response, wish: models.Login) -> models.Me:
    """Check a password and begin a session."""
    try:
        key = await run_in_threadpool(parts.accounts.login, wish.user, wish.password, address=_address(request))
    except AccountError as error:
        raise _refused(error, 401) from None
    response.set_cookie(
        COOKIE, key, max_age=SESSION_S_MAX, httponly=True, samesite="strict", secure=parts.secure, path="/"
    )
    return models.Me(user=wish.user)


@router.post("/logout", summary="Log out", status_code=204)
async def logout(parts: PartsHere, request: Request, response: Response) -> None:
    """End the session of the cookie that came along."""
    await run_in_threadpool(parts.accounts.logout, session_key(request.headers))
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=parts.secure, path="/")


@router.get("/me", summary="Who is logged in, if anybody")
async def me(user: User) -> models.Me:
    """Return the user, or none: the page asks this to know whether it must ask for a login."""
    return models.Me(user=user)


@router.put("/me/password", summary="Change the password; all sessions of the user end", status_code=204)
async def change_password(parts: PartsHere, request: Request, user: User, wish: models.PasswordChange) -> None:
    """Replace the password."""
    try:
        await run_in_threadpool(parts.accounts.change_password, user, wish.current, wish.new, address=_address(request))
    except AccountError as error:
        raise _refused(error, 422) from None


def _shown(token: Token, key: str | None = None) -> models.TokenShown:
    used = rfc3339(token.used_s) if token.used_s else None
    return models.TokenShown(id=token.id, name=token.name, created=rfc3339(token.created_s), used=used, key=key)


@router.get("/tokens", summary="Tokens for scripts")
async def tokens(parts: PartsHere, user: User) -> list[models.TokenShown]:
    """Return the user's tokens, without their keys."""
    return [_shown(token) for token in await run_in_threadpool(parts.accounts.tokens, user)]


@router.post("/tokens", summary="Create a token; its key is shown this once", status_code=201)
async def create_token(parts: PartsHere, user: User, wish: models.TokenWish) -> models.TokenShown:
    """Create a token."""
    try:
        return _shown(*await run_in_threadpool(parts.accounts.create_token, user, wish.name))
    except AccountError as error:
        raise _refused(error, 422) from None


@router.delete("/tokens/{number}", summary="Revoke a token", status_code=204, responses=NOT_FOUND)
async def revoke_token(parts: PartsHere, user: User, number: int) -> None:
    """Make a token worthless."""
    if not await run_in_threadpool(parts.accounts.revoke_token, user, number):
        raise HTTPException(404, "There is no such token.")
