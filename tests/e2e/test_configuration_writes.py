"""Keeping and restoring what a revision reads, on the real API server: repeated, by two at once, tampered with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
import yaml
from kubernetes import client

from resilience_operator.decision.configuration.content import content_digest, object_digests
from resilience_operator.decision.model.commands import Command, Verb
from resilience_operator.decision.model.target import TargetState
from resilience_operator.kube.cache.configuration import OBJECTS, POLICY_LABEL
from resilience_operator.kube.cache.deployments import deployment_state, project_deployment, project_replica_set
from resilience_operator.kube.client.client import KubeClient
from resilience_operator.kube.client.paths import DEPLOYMENTS, REPLICA_SETS
from resilience_operator.kube.writes import configuration
from resilience_operator.resilience import Conflict, Deadline, GiveUp
from tests.support.clients import call
from tests.support.configuration import config_map, copies, data_of, reading
from tests.support.world import World

pytestmark = pytest.mark.asyncio

NAME = "checkout"
FILES, VARIABLES, KEYS = "files", "variables", ("ConfigMap/files", "ConfigMap/variables")


def soon() -> Deadline:
    return Deadline.after(30)


@pytest_asyncio.fixture
async def kube(world: World) -> AsyncIterator[KubeClient]:
    async with KubeClient.connect(world.cluster.kubeconfig) as found:
        yield found


@pytest.fixture
def shop(world: World) -> World:
    """A Deployment that reads two ConfigMaps, and a policy that owns the copies. No operator runs."""
    for name in (FILES, VARIABLES):
        config_map(world, name, level="good")
    template = reading(world.template(NAME, "1.0"), FILES, env={"V_": VARIABLES})
    world.deployment(replicas=1, template=template)
    world.policy()
    return world


async def state(kube: KubeClient, world: World) -> TargetState:
    live = await kube.get(DEPLOYMENTS.item(world.namespace, NAME), deadline=soon())
    sets = await kube.list(REPLICA_SETS.collection(world.namespace), deadline=soon())
    records = [record for one in sets.items if (record := project_replica_set(one)) is not None]
    return deployment_state(project_deployment(live), records)


async def digests(kube: KubeClient, world: World) -> dict[str, str]:
    return object_digests(await configuration.read_all(kube, world.namespace, KEYS, deadline=soon()), b"")


async def keep(kube: KubeClient, world: World, **changed: Any) -> Command:
    """The command that keeps what is read now."""
    arguments = {
        "content": content_digest(await digests(kube, world)),
        "policy": NAME,
        "uid": world.read_policy()["metadata"]["uid"],
        "needed": [],
        **changed,
    }
    return Command(Verb.KEEP_CONFIGURATION, "ReleaseGood", "", arguments=arguments)


async def spoiled(kube: KubeClient, world: World) -> Command:
    """Keep the good content, make both objects bad; the command that restores them."""
    kept = await keep(kube, world)
    good = await digests(kube, world)
    await configuration.keep(kube, await state(kube, world), kept, deadline=soon())
    for name in (FILES, VARIABLES):
        config_map(world, name, level="bad")
    arguments = {**kept.arguments, "from": await digests(kube, world), "to": good, "restart": True, "at": 17}
    return Command(Verb.ROLLBACK, "ReleaseFailing", "", from_="a", to="b", arguments=arguments)


async def version(world: World, name: str) -> str:
    return str(world.core.read_namespaced_config_map(name, world.namespace).metadata.resource_version)


async def test_a_copy_is_made_once(kube: KubeClient, shop: World) -> None:
    command, target = await keep(kube, shop), await state(kube, shop)
    done = await asyncio.gather(*(configuration.keep(kube, target, command, deadline=soon()) for _ in range(3)))
    assert len([change for change in done if change is not None]) == 1
    (copy,) = copies(shop)
    assert copy["metadata"]["name"].endswith(str(command.arguments["content"]))
    shop.delete_policy()


async def test_another_content_than_the_decision_saw_is_not_kept(kube: KubeClient, shop: World) -> None:
    command, target = await keep(kube, shop), await state(kube, shop)
    config_map(shop, FILES, level="later")
    with pytest.raises(Conflict):
        await configuration.keep(kube, target, command, deadline=soon())
    assert copies(shop) == []


async def test_two_operators_restore_each_object_once(kube: KubeClient, shop: World) -> None:
    command, target = await spoiled(kube, shop), await state(kube, shop)
    before = int(await version(shop, FILES)), int(await version(shop, VARIABLES))
    await asyncio.gather(*(configuration.restore(kube, target, command, deadline=soon()) for _ in range(2)))
    assert [data_of(shop, name) for name in (FILES, VARIABLES)] == [{"level": "good"}] * 2
    after = await version(shop, FILES), await version(shop, VARIABLES)
    assert int(after[0]) > before[0] and int(after[1]) > before[1]
    await configuration.restore(kube, target, command, deadline=soon())
    assert (await version(shop, FILES), await version(shop, VARIABLES)) == after, (
        "what is restored is not written again"
    )


async def test_somebody_else_s_change_is_not_overwritten(kube: KubeClient, shop: World) -> None:
    command, target = await spoiled(kube, shop), await state(kube, shop)
    config_map(shop, VARIABLES, level="fixed by hand")
    with pytest.raises(Conflict, match="somebody changed"):
        await configuration.restore(kube, target, command, deadline=soon())
    assert data_of(shop, VARIABLES) == {"level": "fixed by hand"}


async def test_another_template_than_the_decision_saw_restores_nothing(kube: KubeClient, shop: World) -> None:
    command, target = await spoiled(kube, shop), await state(kube, shop)
    shop.release("2.0")
    with pytest.raises(Conflict):
        await configuration.restore(kube, target, command, deadline=soon())
    assert [data_of(shop, name) for name in (FILES, VARIABLES)] == [{"level": "bad"}] * 2


async def test_missing_objects_are_created_and_additional_ones_deleted(kube: KubeClient, shop: World) -> None:
    command, target = await spoiled(kube, shop), await state(kube, shop)
    shop.core.delete_namespaced_config_map(FILES, shop.namespace)
    await configuration.restore(kube, target, command, deadline=soon())
    assert data_of(shop, FILES) == {"level": "good"}
    # The other way round: the good revision was kept without the object.
    shop.core.delete_namespaced_config_map(VARIABLES, shop.namespace)
    command = await spoiled(kube, shop)
    await configuration.restore(kube, target, command, deadline=soon())
    assert data_of(shop, VARIABLES) is None


@pytest.mark.parametrize("immutable", ["good", "bad"])
async def test_an_immutable_object_is_replaced(kube: KubeClient, shop: World, immutable: str) -> None:
    def freeze() -> None:
        shop.core.patch_namespaced_config_map(FILES, shop.namespace, {"immutable": True})

    if immutable == "good":
        freeze()
    kept = await keep(kube, shop)
    good = await digests(kube, shop)
    await configuration.keep(kube, await state(kube, shop), kept, deadline=soon())
    shop.core.delete_namespaced_config_map(FILES, shop.namespace)
    config_map(shop, FILES, level="bad")
    if immutable == "bad":
        freeze()
    arguments = {**kept.arguments, "from": await digests(kube, shop), "to": good, "restart": True, "at": 17}
    command = Command(Verb.ROLLBACK, "ReleaseFailing", "", from_="a", to="b", arguments=arguments)
    await configuration.restore(kube, await state(kube, shop), command, deadline=soon())
    found = shop.core.read_namespaced_config_map(FILES, shop.namespace)
    assert found.data == {"level": "good"}


async def test_binary_data_and_a_removed_key_are_restored(kube: KubeClient, shop: World) -> None:
    body = {"metadata": {"name": FILES}, "binaryData": {"b": "AAEC"}, "data": {"level": "good", "extra": "1"}}
    shop.core.replace_namespaced_config_map(FILES, shop.namespace, body)
    command = await spoiled(kube, shop)
    await configuration.restore(kube, await state(kube, shop), command, deadline=soon())
    found = shop.core.read_namespaced_config_map(FILES, shop.namespace)
    assert (found.data, found.binary_data) == ({"level": "good", "extra": "1"}, {"b": "AAEC"})
    assert (await digests(kube, shop)) == command.arguments["to"]


@pytest.mark.parametrize("harm", ["gone", "other content", "no json", "other shape"])
async def test_a_copy_that_is_not_what_its_name_says_is_refused(kube: KubeClient, shop: World, harm: str) -> None:
    command, target = await spoiled(kube, shop), await state(kube, shop)
    (copy,) = copies(shop)
    name = copy["metadata"]["name"]
    shop.core.delete_namespaced_config_map(name, shop.namespace)
    bad = {
        "other content": copy["data"]["objects"].replace("good", "evil"),
        "no json": "{",
        "other shape": '{"ConfigMap/files": 3}',
    }
    if harm != "gone":
        metadata = {field: copy["metadata"][field] for field in ("name", "labels", "annotations")}
        shop.core.create_namespaced_config_map(
            shop.namespace, {"metadata": metadata, "data": {"objects": bad[harm]}, "immutable": True}
        )
    with pytest.raises(GiveUp, match="ConfigurationUnknown"):
        await configuration.restore(kube, target, command, deadline=soon())
    assert [data_of(shop, name) for name in (FILES, VARIABLES)] == [{"level": "bad"}] * 2


async def test_the_copies_that_a_rollback_needs_are_kept_longest(kube: KubeClient, shop: World) -> None:
    limit = {"spec": {"revisionHistoryLimit": 2}}
    shop.apps.patch_namespaced_deployment(NAME, shop.namespace, limit)
    needed = await keep(kube, shop)
    await configuration.keep(kube, await state(kube, shop), needed, deadline=soon())
    for level in ("2", "3", "4"):
        config_map(shop, FILES, level=level)
        command = await keep(kube, shop)
        mine = [needed.arguments["content"], command.arguments["content"]]
        command = replace(command, arguments={**command.arguments, "needed": mine})
        await configuration.keep(kube, await state(kube, shop), command, deadline=soon())
    found = {c["metadata"]["name"].rpartition("-")[2] for c in copies(shop)}
    assert found == set(mine)


async def test_the_key_of_secrets_is_made_once_and_survives(kube: KubeClient, shop: World) -> None:
    uid = shop.read_policy()["metadata"]["uid"]
    made = [configuration.digest_key(kube, shop.namespace, NAME, uid, deadline=soon()) for _ in range(3)]
    keys = set(await asyncio.gather(*made))
    assert len(keys) == 1
    assert keys == {await configuration.digest_key(kube, shop.namespace, NAME, uid, deadline=soon())}
    (name,) = [s.metadata.name for s in shop.core.list_namespaced_secret(shop.namespace).items]
    shop.core.delete_namespaced_secret(name, shop.namespace)
    shop.core.create_namespaced_secret(
        shop.namespace, client.V1Secret(metadata={"name": name}, string_data={"key": "short"})
    )
    with pytest.raises(GiveUp, match="delete it"):
        await configuration.digest_key(kube, shop.namespace, NAME, uid, deadline=soon())


@pytest.mark.parametrize("edit", [{"labels": {POLICY_LABEL: None}}, {"annotations": {OBJECTS: "{}"}}])
async def test_a_copy_that_somebody_edited_is_made_again(kube: KubeClient, shop: World, edit: dict[str, Any]) -> None:
    command, target = await keep(kube, shop), await state(kube, shop)
    await configuration.keep(kube, target, command, deadline=soon())
    (copy,) = copies(shop)
    shop.core.patch_namespaced_config_map(copy["metadata"]["name"], shop.namespace, {"metadata": edit})
    change = await configuration.keep(kube, target, command, deadline=soon())
    assert change is not None
    (again,) = copies(shop)
    assert (again["metadata"]["labels"], again["metadata"]["annotations"], again["data"]) == (
        copy["metadata"]["labels"],
        copy["metadata"]["annotations"],
        copy["data"],
    )


def apply(world: World, tool: str, name: str, **data: str) -> None:
    """Apply a ConfigMap with the real kubectl."""
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    options = ["--server-side"] if tool == "server-side" else []
    arguments = ("apply", *options, "-n", world.namespace, "-f", "-")
    call("kubectl", *arguments, kubeconfig=world.cluster.kubeconfig, given=yaml.safe_dump(document))


@pytest.mark.parametrize("gone", [False, True], ids=["changed", "deleted"])
@pytest.mark.parametrize("tool", ["client-side", "server-side"])
async def test_the_next_apply_of_restored_content_is_clean(
    kube: KubeClient, shop: World, tool: str, gone: bool
) -> None:
    """It is not refused for a conflict, and leaves nothing of the restored content."""
    shop.core.delete_namespaced_config_map(FILES, shop.namespace)
    apply(shop, tool, FILES, level="good", only="good")
    kept, good = await keep(kube, shop), await digests(kube, shop)
    await configuration.keep(kube, await state(kube, shop), kept, deadline=soon())
    apply(shop, tool, FILES, level="bad")
    arguments = {**kept.arguments, "from": await digests(kube, shop), "to": good, "restart": True, "at": 17}
    if gone:
        shop.core.delete_namespaced_config_map(FILES, shop.namespace)
    command = Command(Verb.ROLLBACK, "ReleaseFailing", "", from_="a", to="b", arguments=arguments)
    await configuration.restore(kube, await state(kube, shop), command, deadline=soon())
    assert data_of(shop, FILES) == {"level": "good", "only": "good"}
    apply(shop, tool, FILES, level="fixed")
    fixed = data_of(shop, FILES) or {}
    assert fixed["level"] == "fixed"
    # What only the restored content has is removed, unless nobody knows that it came from the manifest.
    assert gone or "only" not in fixed
