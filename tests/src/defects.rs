//! Which test stands for which defect of the provider before us: none of them can happen here.
//!
//! Numbers are those of `go-provider.md`, §3.1 to §3.5. A row says what holds instead, on which plane that is shown (as in
//! [`crate::contract`]) and by which test; the documentation of each test names the numbers that it stands for. What is *open* or
//! *not offered* says what is missing, what is *not applicable* why it can't occur. Tests hold this table to the sources: a proof that is gone
//! or does not bear its number, a number that is missing, and a test that bears a number without a row all fail.
//!
//! | number | what holds | plane | proof |
//! |---|---|---|---|
//! | W-01 | no operator state is acted upon: the machine keeps its MaasMachine, and nothing is done to it | embedded | `tests/it/table.rs::every_row_of_the_machine_table_happens_against_maas_and_nothing_else_does` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/phases.rs::no_cell_of_the_table_touches_a_host_that_somebody_else_holds` |
//! | W-02 | providerID is written once and never cleared or reused: a machine that was released is told, not adopted again | embedded | `tests/it/defects.rs::a_machine_that_somebody_released_and_others_use_is_told_within_ten_minutes_and_left_alone_for_ever` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::a_host_that_was_released_and_claimed_for_another_machine_is_let_go` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::provisioned_never_goes_back_whatever_becomes_of_the_host` |
//! | W-03 | only a power that is known to be off is off, and power is switched by policy alone; no BMC is no hindrance | embedded | `tests/it/trouble.rs::a_machine_that_went_off_is_powered_on_by_policy_and_a_bmc_that_does_not_answer_is_not_off` |
//! |  |  | embedded | `tests/it/trouble.rs::machines_whose_power_nobody_can_switch_are_deployed_and_released` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::power_off_is_told_and_an_unanswering_bmc_is_not_off` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/trouble.rs::no_power_action_without_policy_or_evidence_or_when_it_would_destroy` |
//! | W-04 | nothing is deployed or released without a fresh proof that it is ours | embedded | `tests/it/defects.rs::a_machine_that_somebody_released_and_others_use_is_told_within_ten_minutes_and_left_alone_for_ever` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/door/tests.rs::proving_takes_marks_then_the_token_query_then_takeover` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/explore.rs::two_machines_survive_a_mishap_anywhere` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/phases.rs::no_cell_of_the_table_touches_a_host_that_somebody_else_holds` |
//! | W-05 | a lost machine ends in Ready=False with a terminal reason and what to do | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::a_host_that_is_gone_is_chosen_anew_before_and_told_after_provisioning` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/trouble.rs::an_in_memory_machine_that_lost_power_stays_lost_when_the_power_is_back` |
//! |  |  | embedded | `tests/it/trouble.rs::a_machine_whose_system_never_joins_says_so_in_time` |
//! | W-06 | a machine that failed is remembered, avoided and, by policy, taken out of the pool | embedded | `tests/it/life.rs::a_failed_deployment_is_released_and_another_machine_is_chosen` |
//! |  |  | embedded | `tests/it/trouble.rs::a_machine_that_fails_is_marked_broken_by_policy_with_maass_own_reason_and_another_is_deployed` |
//! |  |  | embedded | `tests/it/trouble.rs::a_machine_that_fails_gets_a_tag_by_policy_goes_back_to_the_pool_and_is_not_taken_again` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/trouble.rs::a_host_that_failed_is_given_back_only_when_its_cluster_has_noted_it_and_then_is_avoided_by_every_machine` |
//! | W-07 | a machine that was deleted in MAAS is told, and does not keep its MaasMachine from being deleted | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::a_host_that_is_gone_is_chosen_anew_before_and_told_after_provisioning` |
//! |  |  | embedded | `tests/it/deletion.rs::machines_in_every_kind_of_trouble_are_deleted_and_released_or_say_what_they_wait_for` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/region/tests.rs::hosts_asked_by_id_and_not_answered_are_gone` |
//! | W-08 | a crash at any call leaks no machine, and what is left over can be found | embedded | `tests/it/crash.rs::a_manager_that_is_stopped_at_any_call_of_any_story_is_replaced_and_the_story_ends_well` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/trouble.rs::a_machine_that_an_earlier_claim_got_is_adopted_or_given_back_when_the_sweep_finds_it` |
//! |  |  | process | `bins/capmaasctl/tests/it/main.rs::orphans_are_told_with_an_exit_code_and_nothing_is_done_about_them` |
//! | W-09 | a stale cache or a lost answer never allocates twice | unit | `crates/capmaas-reconcile/tests/it/explore.rs::one_machine_survives_three_mishaps_anywhere_though_it_acts_on_stale_reads` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::a_claim_without_an_answer_is_looked_up_and_never_sent_twice` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::a_record_of_another_process_is_looked_up_for_100_seconds_before_a_claim` |
//! | W-10 | a control-plane machine leaves the name and is released within two minutes of its deletion | embedded | `tests/it/name.rs::a_deleted_member_leaves_the_name_first_and_its_machine_is_back_two_minutes_later` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::release_waits_until_dns_forgot_the_address` |
//! | W-11 | what was never allocated goes at once; a release is awaited, and one that fails is told and tried again | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::deletion_before_anything_was_claimed_ends_at_once_but_not_while_a_claim_may_land` |
//! |  |  | embedded | `tests/it/trouble.rs::an_erasing_that_fails_without_policy_is_told_and_ends_when_the_disk_is_repaired` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/trouble.rs::a_release_that_fails_for_the_third_time_waits_an_hour_or_is_marked_broken_by_policy` |
//! | W-12 |  | not applicable | no VM hosts are looked at, and texts of errors choose nothing: each is told as it is (W-37) |
//! | W-13 | what a machine must have is asked of MAAS in full | unit | `crates/capmaas-provider-maas/src/door/tests.rs::a_claim_names_the_host_the_token_and_all_constraints` |
//! | W-13 | disk size, architecture, storage, networks, devices, tags to avoid and one machine by name can be asked for, and workers spread over zones | embedded | `tests/it/placement.rs::what_is_promised_before_anything_is_applied_is_what_is_claimed_then` |
//! |  |  | embedded | `tests/it/placement.rs::a_pinned_machine_is_claimed_by_its_name_and_no_other_is` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/rules.rs::lists_and_allocations_ask_for_the_same_in_the_words_of_maas` |
//! | W-14 | bootstrap data is read when it is sent, and nothing is deployed again once it had a Node | embedded | `tests/it/defects.rs::a_second_deployment_gets_the_bootstrap_data_of_its_time` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/phases.rs::the_machine_table_in_the_documentation_is_what_the_plan_does` |
//! | W-15 | each address is told once, in an order that does not move | unit | `crates/capmaas-provider-maas/src/status.rs::addresses_begin_with_the_boot_interface_v4_first_and_none_comes_twice` |
//! |  |  | embedded | `tests/it/life.rs::a_settled_cluster_writes_nothing_for_ten_minutes` |
//! | W-16 | a life without trouble has no warning | embedded | `tests/it/defects.rs::a_life_without_trouble_has_no_warning` |
//! | W-20 | once the control plane is initialised, only who answers joins the name | embedded | `tests/it/name.rs::a_rolled_control_plane_keeps_its_name_all_the_time_and_ends_with_the_new_members` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::which_addresses_the_name_has` |
//! | W-21 | the name is never emptied: the last address stays, and the set when nobody answers | embedded | `tests/it/name.rs::when_one_after_another_dies_the_last_address_stays_and_the_set_too_when_nobody_answers` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::which_addresses_the_name_has` |
//! | W-22 | nothing changed: no write | embedded | `tests/it/name.rs::three_members_that_do_not_change_cost_no_write_in_ten_minutes` |
//! |  |  | unit | `crates/maas-dns/src/tests.rs::a_name_that_is_right_already_is_not_written` |
//! | W-23 | the name is in the spec before it is made, and goes with the cluster | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::the_name_is_in_the_spec_before_it_is_made_and_provisioned_after` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::the_name_goes_with_the_cluster_after_its_last_machine_and_leaves_foreign_addresses` |
//! |  |  | embedded | `tests/it/life.rs::the_seed_comes_up_scales_and_goes_and_leaves_nothing` |
//! |  |  | unit | `bins/capmaasctl/src/orphans/report/tests.rs::a_record_counts_by_its_name_unless_it_is_the_endpoint_of_a_cluster` |
//! | W-24 | what others put under the name stays, and what was moved away is not fought over | embedded | `tests/it/defects.rs::an_address_that_somebody_put_under_the_name_stays_through_every_change_and_goes_only_by_hand` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::a_name_without_its_cluster_lets_those_go_who_leave_but_not_those_who_were_moved_away` |
//! | W-25 | an endpoint of the user's own is taken as it is | unit | `crates/capmaas-reconcile/tests/it/contract.rs::an_address_of_the_users_own_may_stand_in_the_cluster_alone` |
//! |  |  | unit | `xtask/src/dist/tests.rs::the_virtual_address_is_the_endpoint_and_what_kube_vip_serves` |
//! |  |  | embedded | `tests/it/trouble.rs::without_administrator_rights_maas_dns_says_what_it_needs_and_an_own_address_works` |
//! |  |  | e2e | `vip` |
//! | W-26 | which address counts is the user's choice, one of each version | embedded | `tests/it/trouble.rs::the_addresses_of_the_chosen_subnet_go_into_the_name_one_of_each_version` |
//! |  |  | embedded | `tests/it/trouble.rs::a_choice_that_no_address_satisfies_names_the_machine_and_what_it_has` |
//! | W-27 | without administrator rights it says what it needs, and works with an address of the user's own | embedded | `tests/it/trouble.rs::without_administrator_rights_maas_dns_says_what_it_needs_and_an_own_address_works` |
//! |  |  | embedded | `tests/it/bad_input.rs::a_key_without_administrator_rights_is_named_until_it_has_them` |
//! | W-30 | TLS is verified, also through a proxy; a private authority is trusted only when it is given | unit | `crates/maas-client/tests/it/loopback.rs::a_private_authority_is_trusted_only_when_given_also_through_a_tunnel` |
//! | W-31 | every call has a deadline around send and body, and a leader that lost its lease stops | unit | `crates/maas-client/src/call/tests.rs::a_body_that_stalls_hits_the_deadline_of_its_class` |
//! |  |  | unit | `crates/maas-client/tests/it/loopback.rs::a_body_that_stalls_hits_the_deadline` |
//! |  |  | unit | `crates/capmaas-manager/src/leader/tests.rs::a_leader_that_cannot_renew_stops_before_its_lease_is_free` |
//! | W-32 | what is safe is repeated as MAAS asks, the rest backs off to minutes; a machine that becomes free is taken at once | unit | `crates/maas-client/src/limits.rs::a_wait_is_what_maas_asks_or_doubles_and_is_never_above_the_cap` |
//! |  |  | unit | `crates/maas-client/src/call/tests.rs::a_rolled_back_write_is_repeated_after_the_time_maas_asks_for` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::back_off_doubles_up_to_five_minutes_and_the_message_does_not_move` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/lanes.rs::one_allocate_four_releases_and_eight_in_all` |
//! |  |  | embedded | `tests/it/life.rs::when_the_pool_is_empty_the_condition_says_so_and_a_freed_machine_is_taken_at_once` |
//! | W-33 | calls share connections | unit | `crates/maas-client/tests/it/loopback.rs::calls_share_one_connection` |
//! | W-34 | objects that change cost MAAS nothing; who does not wait for news is not woken | embedded | `tests/it/defects.rs::objects_that_change_cost_maas_no_request` |
//! |  |  | unit | `crates/capmaas-reconcile/src/queue.rs::a_report_wakes_those_who_wait_for_it_and_nobody_else` |
//! |  |  | embedded | `tests/it/fleet.rs::a_fleet_at_rest_costs_maas_less_than_a_request_in_three_seconds_and_no_write` |
//! | W-35 | lost power is told within a minute, a release by hand within ten | embedded | `tests/it/speed.rs::a_lost_power_is_told_within_a_minute_of_maas_knowing_it` |
//! |  |  | embedded | `tests/it/defects.rs::a_machine_that_somebody_released_and_others_use_is_told_within_ten_minutes_and_left_alone_for_ever` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/watcher/tests.rs::the_sweep_reads_all_awaited_hosts_every_ten_minutes_after_the_first_answer` |
//! | W-36 | one list for all, and no failed read is taken for absence | unit | `crates/capmaas-provider-maas/src/watcher/tests.rs::a_thousand_hosts_in_flight_cost_one_query_per_twenty_seconds` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/region/tests.rs::a_host_missing_in_a_filtered_list_is_confirmed_by_id` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/door/tests.rs::only_the_own_words_of_maas_make_a_machine_gone` |
//! |  |  | unit | `crates/maas-client/src/error/tests.rs::a_404_that_is_not_maas_speaking_of_an_object_is_no_proof_of_absence` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::a_provisioned_machine_goes_on_saying_what_it_says_while_maas_is_down` |
//! | W-37 | every answer counts by its status and its words | unit | `crates/capmaas-provider-maas/src/fault.rs::each_answer_of_maas_has_one_meaning` |
//! |  |  | unit | `crates/maas-client/tests/it/refusals.rs::every_recorded_refusal_has_its_kind` |
//! | W-38 | a deployed machine is provisioned one poll and a second later at the latest, the first one too | embedded | `tests/it/speed.rs::a_deployed_machine_is_provisioned_one_poll_and_a_second_later_at_the_latest` |
//! | W-39 |  | not applicable | no VMs are composed: `lxd.enabled` is refused before any allocate, and a machine is allocated by its system id, which MAAS never composes |
//! | W-40 | credentials are of one place and may come late or change without a restart | unit | `crates/capmaas-manager/src/feeders/credentials/tests.rs::the_secret_counts_before_the_articles_name_and_that_before_the_environment` |
//! |  |  | embedded | `tests/it/bad_input.rs::a_wrong_api_key_is_named_and_the_right_one_is_picked_up` |
//! |  |  | process | `bins/capmaas-controller/tests/it/main.rs::it_waits_for_kinds_and_credentials_and_takes_both_up_without_a_restart` |
//! |  |  | e2e | `rotate-credentials` |
//! | W-40 | an identity per cluster, several MAAS in one controller | open | issue 6; until then one controller per MAAS (e2e row two-regions) |
//! | W-41 | the key is never shown, and goes to no workload cluster (there are no LXD hosts to set up) | unit | `crates/maas-client/tests/it/secrets.rs::neither_errors_nor_spans_at_trace_level_tell_token_or_secret` |
//! |  |  | unit | `crates/maas-client/src/error/tests.rs::a_401_never_carries_its_body` |
//! |  |  | embedded | `tests/it/bad_input.rs::a_wrong_api_key_is_named_and_the_right_one_is_picked_up` |
//! | W-42 | Secrets are read one by one, and rights are those that are used | e2e | `rights` |
//! |  |  | unit | `xtask/src/dist/tests.rs::names_that_the_controller_uses_are_those_of_the_components` |
//! | W-43 | `--namespace` limits what is acted upon | process | `bins/capmaas-controller/tests/it/main.rs::namespace_and_watch_filter_limit_what_is_acted_upon` |
//! | W-50 | a paused cluster stands still, and each object says so | embedded | `tests/it/contract.rs::a_paused_cluster_stands_still_even_for_a_deletion_and_goes_on_by_itself` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::both_kinds_stand_still_for_either_cause_and_say_which_and_for_which_generation` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::a_paused_managed_or_moved_cluster_is_left_alone` |
//! | W-51 | there is a cluster template, and templates may be tried by a topology's dry run | e2e | `topology` |
//! |  |  | e2e | `template-immutable` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::every_field_of_the_go_provider_is_in_the_schema` |
//! | W-52 | templates tell what their machines have | embedded | `tests/it/contract.rs::templates_publish_the_least_that_maas_has_and_keep_to_it_while_machines_are_taken` |
//! | W-53 | the zone is told in the status, and what was asked for stays as it was asked | unit | `crates/capmaas-reconcile/tests/it/contract.rs::the_zone_and_the_addresses_of_the_machine_are_told_and_the_asked_zone_is_never_written` |
//! | W-54 | every version that was ever stored is served, and labels name what there is | unit | `crates/capi-types/src/crds/tests.rs::one_schema_is_served_under_every_version_without_conversion` |
//! |  |  | unit | `xtask/src/dist/tests.rs::every_series_of_the_go_provider_keeps_its_contract` |
//! | W-55 | bad input is refused or named with field and fix; an edit in place is pointed out | unit | `crates/capi-types/src/crds/tests.rs::rules_refuse_what_must_not_change_and_say_what_to_do` |
//! |  |  | embedded | `tests/it/bad_input.rs::a_malformed_provider_id_is_refused_with_field_and_fix` |
//! |  |  | embedded | `tests/it/bad_input.rs::an_image_edited_in_place_is_pointed_out_and_forgotten_when_it_is_put_back` |
//! |  |  | embedded | `tests/it/bad_input.rs::a_request_that_no_machine_matches_names_what_was_asked` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::zones_are_published_when_asked_for_and_there` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::a_systemid_that_somebody_wrote_by_hand_is_not_acted_upon` |
//! | W-56 | generations are observed, columns printed, externally managed clusters left alone | embedded | `tests/it/contract.rs::ready_and_paused_stand_on_every_object_from_first_to_last_as_metav1_conditions_of_this_generation` |
//! |  |  | embedded | `tests/it/contract.rs::an_externally_managed_cluster_is_never_written_and_its_machines_live_and_go_without_us_keeping_its_name` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::schemas_are_structural_bounded_and_without_surprises` |
//! | W-56 | remediation types | embedded | `tests/it/remediation.rs::a_hung_worker_is_healed_by_one_power_cycle_and_stays_the_machine_that_it_was` |
//! |  |  | embedded | `tests/it/remediation.rs::a_dead_worker_is_tried_as_often_as_the_strategy_says_and_then_replaced_by_its_owner_on_another_machine` |
//! | W-56 | MachinePool and IPAM | not offered | no resource of MAAS stands for a pool of machines; addresses are MAAS's own to give |
//! | W-57 | a stored map of failure domains is read, and becomes a list with the next write | unit | `crates/capi-types/src/crds/tests.rs::stored_failure_domains_read_as_map_and_as_list` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_stored_map_of_failure_domains_becomes_a_list_with_the_next_status_whatever_that_is_about` |
#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::proofs::{find_test, path_and_name, plane_of, rows, scenarios, source};

    /// The numbers that the list has; between them it has none.
    const NUMBERS: [std::ops::RangeInclusive<u32>; 4] = [1..=16, 20..=27, 30..=43, 50..=57];

    fn numbers() -> BTreeSet<String> {
        NUMBERS.into_iter().flatten().map(|number| format!("W-{number:02}")).collect()
    }

    /// Numbers that stand in the documentation of a test.
    fn borne(item: &str) -> BTreeSet<String> {
        let lines = item.lines().filter_map(|line| line.trim().strip_prefix("///"));
        let words = lines.flat_map(|line| line.split([' ', ',', ':', ';', '.'])).filter(|word| word.starts_with("W-"));
        words.map(str::to_owned).collect()
    }

    fn workspace() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// How many tests in the sources have a line of numbers in their documentation.
    fn bearers(folder: &Path) -> usize {
        let numbers =
            |line: &&str| line.trim().strip_prefix("/// W-").is_some_and(|rest| rest.starts_with(char::is_numeric));
        let all = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        all.map(|path| match path.extension() {
            _ if path.is_dir() && (path.ends_with("target") || path.ends_with(".git")) => 0,
            _ if path.is_dir() => bearers(&path),
            Some(kind) if kind == "rs" => fs::read_to_string(&path).unwrap().lines().filter(numbers).count(),
            _ => 0,
        })
        .sum()
    }

    #[test]
    fn every_number_of_the_list_has_a_row_and_every_row_a_number_of_the_list() {
        let present: BTreeSet<_> = rows(include_str!("defects.rs")).into_iter().map(|row| row.point).collect();
        assert_eq!(present, numbers());
    }

    #[test]
    fn every_proof_exists_on_its_plane_and_bears_the_numbers_it_stands_for() {
        let scenarios = scenarios();
        let mut proofs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in rows(include_str!("defects.rs")) {
            let named = row.proof.trim_matches('`');
            match row.plane.as_str() {
                "open" | "not offered" | "not applicable" => {
                    assert!(
                        named == row.proof && named.len() > 6,
                        "{}: {}, but why? {}",
                        row.point,
                        row.plane,
                        row.proof
                    )
                }
                "e2e" => assert!(scenarios.contains(named), "{}: there is no scenario {named}", row.point),
                plane => {
                    let (path, _) =
                        path_and_name(named).unwrap_or_else(|| panic!("{}: no path::name: {named}", row.point));
                    assert_eq!(plane, plane_of(path), "{}: {named}", row.point);
                    proofs.entry(named.to_owned()).or_default().insert(row.point);
                }
            }
        }
        let listed = proofs.len();
        for (proof, expected) in proofs {
            let (path, name) = path_and_name(&proof).unwrap();
            let text = source(path);
            let item = find_test(&text, name).unwrap_or_else(|| panic!("{expected:?}: {path} has no test {name}"));
            assert_eq!(borne(item), expected, "what the documentation of {proof} says, and what the table says");
        }
        assert_eq!(bearers(&workspace()), listed, "tests that bear numbers, and tests that the table names");
    }
}
