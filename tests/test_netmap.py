"""netmap ports without interfaces: pipes, VALE switches, monitors, refusals."""

from __future__ import annotations

import os

import pytest
from netmap_kit import IS_EMULATED, Netmap, netmap

__all__ = ["netmap"]


def test_a_pipe_hands_out_frames_with_their_time(netmap: Netmap) -> None:
    netmap.run("pipe_receives")


@pytest.mark.parametrize("slots", [1024, 67, 5])
def test_chains_of_slots_are_frames(netmap: Netmap, slots: int) -> None:
    netmap.run("pipe_receives_chains", slots)


@pytest.mark.parametrize(("slots", "longest"), [(1024, 1514), (1000, 9014), (37, 20_000)])
def test_pipes_are_bridged_both_ways_without_loss(netmap: Netmap, slots: int, longest: int) -> None:
    netmap.run("pipes_are_bridged_losslessly", slots, longest)


@pytest.mark.parametrize("same_region", ["yes", "no"])
def test_buffers_are_exchanged_within_a_region_and_copied_between_two(
    netmap: Netmap, same_region: str
) -> None:
    netmap.run("bridged_buffers", same_region)


def test_two_ports_that_are_opened_together_share_a_region(netmap: Netmap) -> None:
    netmap.run("new_pipes_share_a_region")


def test_what_finds_no_room_is_held_as_long_as_there_are_buffers(netmap: Netmap) -> None:
    netmap.run("what_finds_no_room_is_held")


def test_what_is_on_its_way_is_sent_at_close(netmap: Netmap) -> None:
    netmap.run("packets_on_their_way_are_sent_at_close")


def test_a_ring_that_another_program_moves_is_an_error(netmap: Netmap) -> None:
    netmap.run("a_ring_that_another_moves_is_an_error")


def test_a_port_may_receive_or_transmit_only(netmap: Netmap) -> None:
    netmap.run("one_direction_is_open")


def test_a_region_can_be_asked_for(netmap: Netmap) -> None:
    netmap.run("a_region_is_asked_for_by_its_number")


@pytest.mark.parametrize("empty_every", [0, 3])
def test_a_switch_hands_out_frames_and_chains(netmap: Netmap, empty_every: int) -> None:
    if IS_EMULATED:
        netmap.settings["empty_every"] = empty_every
    netmap.run("vale_receives")


def test_switches_are_bridged(netmap: Netmap) -> None:
    netmap.run("vale_is_bridged")


@pytest.mark.parametrize("letters", ["t", "r", "tr", "trz"])
def test_monitors_see_what_a_port_sends_and_receives(netmap: Netmap, letters: str) -> None:
    netmap.run("monitors_see_what_a_port_does", letters)


def test_names_that_cannot_be_opened_say_why(netmap: Netmap) -> None:
    netmap.run("names_are_refused")


def test_a_port_can_be_had_alone(netmap: Netmap) -> None:
    netmap.run("a_port_is_opened_exclusively")


def test_without_rights_the_message_tells_how_to_get_them(netmap: Netmap) -> None:
    if IS_EMULATED:
        netmap.settings["deny"] = 1
    elif os.geteuid() != 0:
        pytest.skip("only root can give up root's rights")
    netmap.run("the_device_may_not_be_opened")


@pytest.mark.skipif(not IS_EMULATED, reason="the module is loaded")
def test_without_the_module_the_message_tells_how_to_load_it() -> None:
    plain = Netmap.__new__(Netmap)
    plain.environment = lambda: dict(os.environ)  # type: ignore[method-assign]
    plain.run("there_is_no_module")
