"""What ``--dry-run`` does: everything up to the point where something would be touched."""

from dataclasses import dataclass

from nacl.signing import SigningKey

from kdev.kube import preflight
from kdev.kube.agent_container import AgentSpec
from kdev.kube.api import Api
from kdev.kube.targets import resolve
from kdev.session.plan import Plan, Wish, make_plan, new_agent


@dataclass(frozen=True, slots=True)
class DryRun:
    """A plan that the cluster would admit, and the agent that it would place."""

    plan: Plan
    agent: AgentSpec


async def dry_run(api: Api, wish: Wish) -> DryRun:
    """Find the target, make the plan, and ask the cluster whether it would admit it.

    Raises:
        Failure: What a session would end with at the same point.
    """
    plan = make_plan(wish, await resolve(api, wish.target, wish.namespace))
    agent = new_agent(plan, bytes(SigningKey.generate().verify_key))
    await preflight.check(api, wish.namespace, plan.resolved.pods, agent)
    return DryRun(plan, agent)
