//! Which test stands for which point of Cluster API's contract for infrastructure providers.
//!
//! Points are numbered as in `capi-contract.md`; §31 is its checklist, in its words, and §2 to §27 are what is behind it. A demand has
//! one row per proof. Planes: *unit* is a test beside the code it tests or of one room; *embedded* is the manager in the simulated
//! world of this package; *process* is the controller's program over sockets; *e2e* is a scenario of `cargo xtask e2e`, where the
//! real API server and the real Cluster API judge. What is *open* is not proven, and says by what it is waited for. Tests hold this
//! table to the sources: a proof that is gone, or a point that is missing, fails.
//!
//! | point | demand | plane | proof |
//! |---|---|---|---|
//! | §2 | labels name the API versions that satisfy a contract; each is served; CRD names are what core computes | unit | `crates/capi-types/src/crds/tests.rs::one_schema_is_served_under_every_version_without_conversion` |
//! |  |  | e2e | `init` |
//! | §3 | schemas are structural and bounded, optional fields absent rather than null, lists typed, status a subresource everywhere | unit | `crates/capi-types/src/crds/tests.rs::schemas_are_structural_bounded_and_without_surprises` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::nothing_serialises_to_null` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::lists_that_core_applies_to_are_typed` |
//! | §4 | `status.initialization.provisioned` is set once, with `status.ready`, and never goes back | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::the_name_is_in_the_spec_before_it_is_made_and_provisioned_after` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_provisioned_cluster_stays_so_whatever_maas_says` |
//! | §4 | an endpoint that is not ours is taken from the Cluster and waited for | unit | `crates/capmaas-reconcile/tests/it/contract.rs::an_address_of_the_users_own_may_stand_in_the_cluster_alone` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::why_a_cluster_is_not_provisioned` |
//! | §4 | externally managed (`cluster.x-k8s.io/managed-by`): no write at all, and its machines do not depend on ours | embedded | `tests/it/contract.rs::an_externally_managed_cluster_is_never_written_and_its_machines_live_and_go_without_us_keeping_its_name` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_machine_of_a_cluster_that_somebody_else_manages_does_not_wait_for_its_name` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::a_paused_managed_or_moved_cluster_is_left_alone` |
//! | §4 | failure domains are a list, sorted, absent when none is asked for | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::zones_are_published_when_asked_for_and_there` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_stored_map_of_failure_domains_becomes_a_list_with_the_next_status_whatever_that_is_about` |
//! | §4 | deletion cleans up outside and tolerates a missing Cluster | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::the_name_goes_with_the_cluster_after_its_last_machine_and_leaves_foreign_addresses` |
//! |  |  | e2e | `delete` |
//! | §5 | the cluster template has metadata and spec, and no controller | unit | `crates/capi-types/src/crds/tests.rs::every_field_of_the_go_provider_is_in_the_schema` |
//! |  |  | e2e | `template-immutable` |
//! | §6 | `spec.providerID` and `provisioned` come together, when the machine is deployed | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::a_worker_is_provisioned_with_three_writes_and_released_with_one` |
//! | §6 | `status.addresses` and `status.failureDomain` tell what is; `spec.failureDomain` is never written | unit | `crates/capmaas-reconcile/tests/it/contract.rs::the_zone_and_the_addresses_of_the_machine_are_told_and_the_asked_zone_is_never_written` |
//! | §6 | a machine is placed in the failure domain asked for, or nowhere | embedded | `tests/it/contract.rs::a_machine_is_placed_in_the_failure_domain_that_is_asked_for_or_nowhere` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/door/tests.rs::a_claim_names_the_host_the_token_and_all_constraints` |
//! | §6 | waits are conditions, not errors: owner, infrastructure, bootstrap data | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::what_a_machine_without_a_host_waits_for` |
//! | §6 | terminal failures are Ready=False with a reason; a BMC that does not answer is none | unit | `crates/capmaas-reconcile/tests/it/machine/phases.rs::the_machine_table_in_the_documentation_is_what_the_plan_does` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::power_off_is_told_and_an_unanswering_bmc_is_not_off` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::a_host_that_is_gone_is_chosen_anew_before_and_told_after_provisioning` |
//! | §6 | once provisioned, bootstrap data may be gone | embedded | `tests/it/contract.rs::bootstrap_data_arrives_unaltered_and_may_be_gone_afterwards` |
//! | §6 | deletion needs no infrastructure, bootstrap data, owner or machine; it says what it waits for, and resumes | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::deletion_needs_neither_machine_nor_cluster_nor_bootstrap_data` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::deletion_waits_and_says_for_what` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::only_the_annotation_with_its_system_id_lets_go_of_a_box_unreleased` |
//! |  |  | e2e | `delete-without-maas` |
//! |  |  | e2e | `delete-without-key` |
//! |  |  | e2e | `delete-without-data` |
//! | §6 | what can't be written is told in the status | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_write_that_fails_over_and_over_is_told_with_the_words_of_the_api_server` |
//! |  |  | unit | `crates/capmaas-manager/src/manager/tests.rs::writes_that_do_not_get_through_are_told_in_the_status_and_made_good` |
//! | §7 | templates are immutable but for the topology controller's dry run | e2e | `template-immutable` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::templates_have_no_transition_rule_and_machines_have_theirs` |
//! | §8 | a provisioned machine ignores spec changes that it can't apply | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_provisioned_machine_ignores_what_its_spec_asks_for_now` |
//! | §9 | machine pools are optional and not offered | not offered | MAAS has no group of machines to stand for one |
//! | §10 | only our own fields are written, by merge patch with resourceVersion; two passes in a row write once | unit | `crates/capmaas-manager/src/executor/writes.rs::a_patch_has_only_what_differs_and_null_for_what_goes` |
//! |  |  | embedded | `tests/it/life.rs::a_settled_cluster_writes_nothing_for_ten_minutes` |
//! |  |  | e2e | `settled` |
//! | §10 | a MaasMachine may be seen before its Machine owns it | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::what_a_machine_without_a_host_waits_for` |
//! | §11 | bootstrap data is passed on as it is, and formats that do not run are refused | embedded | `tests/it/contract.rs::bootstrap_data_arrives_unaltered_and_may_be_gone_afterwards` |
//! |  |  | embedded | `tests/it/contract.rs::bootstrap_data_that_maas_images_cannot_run_is_named_and_never_deployed` |
//! | §12 | the Node gets exactly our providerID, once; another value is told and left | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::the_node_is_tied_once_and_another_value_is_only_told` |
//! |  |  | unit | `crates/capi-types/src/provider_id.rs::a_provider_id_reads_back_byte_for_byte` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::rules_refuse_what_must_not_change_and_say_what_to_do` |
//! |  |  | e2e | `article` |
//! | §13 | Ready and Paused are metav1 conditions, there from first to last, for the generation that was looked at | embedded | `tests/it/contract.rs::ready_and_paused_stand_on_every_object_from_first_to_last_as_metav1_conditions_of_this_generation` |
//! | §13 | messages and times move only with what they say; order is fixed; foreign conditions stay | unit | `crates/capi-types/src/conditions.rs::time_moves_only_with_the_status` |
//! |  |  | unit | `crates/capi-types/src/conditions.rs::the_same_facts_are_no_change_whatever_their_order` |
//! |  |  | unit | `crates/capi-types/src/conditions.rs::order_is_ready_first_then_by_name_and_foreign_types_stay` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::back_off_doubles_up_to_five_minutes_and_the_message_does_not_move` |
//! | §14 | both causes pause, are named, and end by a watch of the Cluster | unit | `crates/capmaas-reconcile/tests/it/contract.rs::both_kinds_stand_still_for_either_cause_and_say_which_and_for_which_generation` |
//! |  |  | embedded | `tests/it/contract.rs::an_annotated_machine_stands_still_alone` |
//! | §14 | while paused nothing is done or written, and a deletion waits | embedded | `tests/it/contract.rs::a_paused_cluster_stands_still_even_for_a_deletion_and_goes_on_by_itself` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_paused_object_that_is_deleted_waits_too` |
//! |  |  | e2e | `pause` |
//! | §15 | the finalizer comes before the first outside action, and comes back when it was removed | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_finalizer_that_somebody_removed_comes_back` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/explore.rs::one_machine_survives_three_mishaps_anywhere_though_it_acts_on_stale_reads` |
//! | §15 | an object goes when its machine is free, and the cluster after its last machine | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::a_worker_is_provisioned_with_three_writes_and_released_with_one` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::the_name_goes_with_the_cluster_after_its_last_machine_and_leaves_foreign_addresses` |
//! |  |  | e2e | `delete` |
//! |  |  | e2e | `delete-cluster` |
//! | §16 | health checks of our flavours leave a deployment its time | unit | `xtask/src/dist/tests.rs::only_the_flavour_that_says_so_replaces_machines_and_it_is_slow` |
//! |  |  | e2e | `worker-power` |
//! |  |  | e2e | `control-plane-power` |
//! | §16 | external remediation: MaasRemediation and its template; tries, their time, and then the Machine is its owner's in both lists of conditions | embedded | `tests/it/remediation.rs::a_hung_worker_is_healed_by_one_power_cycle_and_stays_the_machine_that_it_was` |
//! |  |  | embedded | `tests/it/remediation.rs::a_dead_worker_is_tried_as_often_as_the_strategy_says_and_then_replaced_by_its_owner_on_another_machine` |
//! |  |  | embedded | `tests/it/remediation.rs::what_runs_from_memory_and_a_machine_whose_bmc_is_silent_are_left_to_the_owner_without_a_power_order` |
//! |  |  | unit | `crates/capi-types/src/owner_remediated.rs::the_machine_is_given_to_its_owner_in_both_lists_of_either_version_and_other_conditions_stay` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/remediation.rs::wherever_the_process_ends_what_was_switched_off_is_switched_on_and_nothing_is_switched_off_twice` |
//! | §16 | a request that is deleted in the middle leaves nothing switched off | unit | `crates/capmaas-reconcile/tests/it/remediation.rs::a_request_that_is_taken_away_in_the_middle_leaves_nothing_switched_off` |
//! | §16 | a control plane never loses its quorum by a remediation | unit | `crates/capmaas-reconcile/tests/it/remediation.rs::a_control_plane_that_still_answers_never_loses_its_quorum_by_us` |
//! |  |  | embedded | `tests/it/remediation.rs::of_a_control_plane_of_three_two_hung_machines_are_power_cycled_one_after_the_other` |
//! | §16 | both under a real MachineHealthCheck | open | issue 6: there a hung worker is healed and stays the machine that it was, but the e2e rows `remediation` and `remediation-control-plane` do not pass yet |
//! | §17 | templates publish capacity and nodeInfo from what MAAS has, steadily | embedded | `tests/it/contract.rs::templates_publish_the_least_that_maas_has_and_keep_to_it_while_machines_are_taken` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/template.rs::a_template_publishes_what_any_machine_that_matches_is_sure_to_have` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/template.rs::capacity_is_the_same_while_machines_are_taken_given_back_or_not_to_be_read` |
//! |  |  | unit | `crates/capmaas-provider-maas/src/region/tests.rs::hardware_is_one_list_of_all_that_match_whoever_holds_them_and_each_make_counts_once` |
//! | §17 | the autoscaler may read templates | unit | `xtask/src/dist/tests.rs::names_that_the_controller_uses_are_those_of_the_components` |
//! | §18 | zones that are asked for are checked against MAAS and published for control planes | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::zones_are_published_when_asked_for_and_there` |
//! | §19 | ClusterClass: no required field that only we fill, no default that makes a difference, a class in the release | unit | `crates/capi-types/src/crds/tests.rs::required_fields_are_those_of_the_go_provider` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::schemas_are_structural_bounded_and_without_surprises` |
//! |  |  | unit | `xtask/src/dist/tests.rs::the_files_of_this_version_are_those_that_clusterctl_looks_for_and_faultless` |
//! |  |  | e2e | `topology` |
//! | §20 | the release has the files, names, labels and variables that clusterctl wants | unit | `xtask/src/dist/tests.rs::the_files_of_this_version_are_those_that_clusterctl_looks_for_and_faultless` |
//! |  |  | unit | `xtask/src/dist/tests.rs::a_fault_in_a_file_is_named` |
//! |  |  | e2e | `init` |
//! |  |  | e2e | `generate` |
//! |  |  | e2e | `flavours` |
//! |  |  | e2e | `upgrade-provider` |
//! | §21 | what arrives by a move keeps its machine; what clusterctl moved away is never released | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::an_object_that_arrives_by_a_move_keeps_its_machine` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::an_object_that_clusterctl_moved_away_is_never_released` |
//! |  |  | e2e | `move` |
//! |  |  | e2e | `move-and-back` |
//! | §21 | block-move stands while a claim is under way and is gone within a minute of a pause | embedded | `tests/it/contract.rs::a_pause_during_an_allocate_records_the_machine_lets_the_object_move_within_a_minute_and_deploys_nothing` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::a_pause_finishes_and_records_what_was_sent_and_lets_the_object_move_within_a_minute` |
//! | §22 | `--namespace` and `--watch-filter` limit what is acted upon | process | `bins/capmaas-controller/tests/it/main.rs::namespace_and_watch_filter_limit_what_is_acted_upon` |
//! | §22 | several sets of credentials in one installation | open | one MAAS and one key per controller (e2e row `two-regions` runs two); identities per cluster are issue 6 |
//! | §23 | rights are the least that suffice | e2e | `rights` |
//! |  |  | unit | `xtask/src/dist/tests.rs::a_fault_in_a_file_is_named` |
//! | §24 | flags, probes and metrics are those of other managers | process | `bins/capmaas-controller/tests/it/main.rs::flags_of_the_go_provider_and_of_other_managers_are_taken` |
//! |  |  | process | `bins/capmaas-controller/tests/it/main.rs::help_lists_the_flags_with_their_defaults` |
//! |  |  | process | `bins/capmaas-controller/tests/it/main.rs::it_waits_for_kinds_and_credentials_and_takes_both_up_without_a_restart` |
//! | §24 | leader election | process | `bins/capmaas-controller/tests/it/main.rs::one_of_several_leads_and_another_follows_it_late_after_a_kill_and_at_once_after_a_stop` |
//! |  |  | unit | `crates/capmaas-manager/src/leader/tests.rs::a_leader_that_cannot_renew_stops_before_its_lease_is_free` |
//! | §25 | what the Go provider stores is read and taken over: nothing is deployed or released, maps become lists | embedded | `tests/it/takeover.rs::a_fleet_of_the_go_provider_is_taken_over_without_a_deployment_or_a_release` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::every_field_of_the_go_provider_is_in_the_schema` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::an_unmarked_machine_under_another_hostname_is_neither_taken_over_nor_released` |
//! |  |  | e2e | `takeover` |
//! |  |  | e2e | `upgrade-provider` |
//! | §25 | its webhook configurations are found and named with the command that deletes them | embedded | `tests/it/takeover.rs::webhooks_that_the_go_provider_left_behind_are_named_with_the_command_that_deletes_them` |
//! |  |  | unit | `crates/capmaas-manager/src/feeders/leftovers.rs::a_configuration_is_left_over_by_its_name_or_by_sending_our_kinds_to_our_namespace` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::left_over_webhooks_are_told_once_and_until_they_are_gone` |
//! |  |  | e2e | `takeover` |
//! | §26 | core objects read alike in every version, also when the served one changes | unit | `crates/capi-types/src/core_objects.rs::a_cluster_reads_alike_in_every_version` |
//! |  |  | unit | `crates/capi-types/src/core_objects.rs::a_machine_reads_alike_in_v1beta1_and_v1beta2` |
//! |  |  | unit | `crates/capmaas-manager/src/manager/tests.rs::core_kinds_that_move_to_another_version_are_followed` |
//! | §26 | old manifests are rewritten with every change explained | unit | `crates/capi-types/src/convert/tests.rs::the_article_manifest_becomes_current_and_every_change_is_explained` |
//! |  |  | e2e | `article` |
//! |  |  | e2e | `old-kubernetes` |
//! | §27 | managed-by is an annotation; status is lost on a move; an upgrade needs a spare machine, or says how not to | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::a_paused_managed_or_moved_cluster_is_left_alone` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::an_object_that_arrives_by_a_move_keeps_its_machine` |
//! |  |  | unit | `xtask/src/dist/tests.rs::machines_can_be_replaced_where_none_is_to_spare` |
//! | §31.1 | CRDs: names, labels, status subresource on templates, list-map markers, printer columns | unit | `crates/capi-types/src/crds/tests.rs::one_schema_is_served_under_every_version_without_conversion` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::lists_that_core_applies_to_are_typed` |
//! |  |  | embedded | `tests/it/kubectl.rs::kubectl_drives_the_seed_from_manifest_to_nothing_left` |
//! | §31.2 | metadata.yaml ↔ label agreement | unit | `xtask/src/dist/tests.rs::every_series_of_the_go_provider_keeps_its_contract` |
//! | §31.3 | `status.initialization.provisioned` (+ `status.ready`), never reverts | unit | `crates/capmaas-reconcile/tests/it/contract.rs::provisioned_never_goes_back_whatever_becomes_of_the_host` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_provisioned_cluster_stays_so_whatever_maas_says` |
//! | §31.4 | endpoint before provisioned; failureDomains as list | unit | `crates/capmaas-reconcile/tests/it/cluster.rs::the_name_is_in_the_spec_before_it_is_made_and_provisioned_after` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_stored_map_of_failure_domains_becomes_a_list_with_the_next_status_whatever_that_is_about` |
//! | §31.5 | providerID identical on Node; never rewritten | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::the_node_is_tied_once_and_another_value_is_only_told` |
//! |  |  | unit | `crates/capi-types/src/crds/tests.rs::rules_refuse_what_must_not_change_and_say_what_to_do` |
//! |  |  | e2e | `article` |
//! | §31.6 | waits: owner, infra, bootstrap; deletes do not wait | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::what_a_machine_without_a_host_waits_for` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::deletion_needs_neither_machine_nor_cluster_nor_bootstrap_data` |
//! | §31.7 | merge-patch only own fields; resourceVersion stable | unit | `crates/capmaas-manager/src/executor/writes.rs::a_patch_has_only_what_differs_and_null_for_what_goes` |
//! |  |  | embedded | `tests/it/life.rs::a_settled_cluster_writes_nothing_for_ten_minutes` |
//! |  |  | e2e | `settled` |
//! | §31.8 | Ready + Paused conditions, metav1; deterministic messages | embedded | `tests/it/contract.rs::ready_and_paused_stand_on_every_object_from_first_to_last_as_metav1_conditions_of_this_generation` |
//! |  |  | unit | `crates/capi-types/src/conditions.rs::time_moves_only_with_the_status` |
//! | §31.9 | pause for spec.paused and annotation, re-enqueue on Cluster change; managed-by annotation | unit | `crates/capmaas-reconcile/tests/it/contract.rs::both_kinds_stand_still_for_either_cause_and_say_which_and_for_which_generation` |
//! |  |  | embedded | `tests/it/contract.rs::a_paused_cluster_stands_still_even_for_a_deletion_and_goes_on_by_itself` |
//! |  |  | embedded | `tests/it/contract.rs::an_externally_managed_cluster_is_never_written_and_its_machines_live_and_go_without_us_keeping_its_name` |
//! |  |  | e2e | `pause` |
//! | §31.10 | finalizer first; release verified; restart and move safe (find by providerID/claim) | unit | `crates/capmaas-reconcile/tests/it/contract.rs::a_finalizer_that_somebody_removed_comes_back` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::deletion_waits_and_says_for_what` |
//! |  |  | embedded | `tests/it/crash.rs::a_manager_that_is_stopped_at_any_call_of_any_story_is_replaced_and_the_story_ends_well` |
//! |  |  | unit | `crates/capmaas-reconcile/tests/it/machine/life.rs::an_object_that_arrives_by_a_move_keeps_its_machine` |
//! |  |  | e2e | `restart` |
//! |  |  | e2e | `move` |
//! | §31.11 | block-move while claiming | unit | `crates/capmaas-reconcile/tests/it/machine/before.rs::after_a_pause_block_move_stands_again_before_anything_is_claimed` |
//! |  |  | embedded | `tests/it/contract.rs::a_pause_during_an_allocate_records_the_machine_lets_the_object_move_within_a_minute_and_deploys_nothing` |
//! | §31.12 | ClusterTemplate, dry-run-aware immutability | e2e | `template-immutable` |
//! |  |  | unit | `xtask/src/dist/tests.rs::names_that_the_controller_uses_are_those_of_the_components` |
//! | §31.13 | capacity + nodeInfo on MachineTemplate | embedded | `tests/it/contract.rs::templates_publish_the_least_that_maas_has_and_keep_to_it_while_machines_are_taken` |
//! | §31.14 | Remediation + RemediationTemplate | embedded | `tests/it/remediation.rs::a_hung_worker_is_healed_by_one_power_cycle_and_stays_the_machine_that_it_was` |
//! | §31.15 | flags and probes of §24; watch filter; namespace | process | `bins/capmaas-controller/tests/it/main.rs::flags_of_the_go_provider_and_of_other_managers_are_taken` |
//! |  |  | process | `bins/capmaas-controller/tests/it/main.rs::it_waits_for_kinds_and_credentials_and_takes_both_up_without_a_restart` |
//! |  |  | process | `bins/capmaas-controller/tests/it/main.rs::namespace_and_watch_filter_limit_what_is_acted_upon` |
//! | §31.16 | flavors: default, ClusterClass, MHC with long nodeStartupTimeout, maxSurge 0 | unit | `xtask/src/dist/tests.rs::the_files_of_this_version_are_those_that_clusterctl_looks_for_and_faultless` |
//! |  |  | unit | `xtask/src/dist/tests.rs::only_the_flavour_that_says_so_replaces_machines_and_it_is_slow` |
//! |  |  | unit | `xtask/src/dist/tests.rs::machines_can_be_replaced_where_none_is_to_spare` |
//! |  |  | e2e | `flavours` |
//! |  |  | e2e | `topology` |
//! | §31.17 | clusterctl init from local repository, move, upgrade, describe tested | e2e | `init` |
//! |  |  | e2e | `move` |
//! |  |  | e2e | `upgrade-provider` |
//! |  |  | e2e | `generate` |
//! | §31.18 | CRD migrator before any storage-version change | unit | `crates/capi-types/src/crds/tests.rs::one_schema_is_served_under_every_version_without_conversion` |
//! |  |  | not offered | v1beta1 has been the stored version since the Go provider's 0.4, and nothing changes it |

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::proofs::{Row, find_test, path_and_name, plane_of, rows, scenarios, source};

    /// The checklist, §31, word for word.
    const CHECKLIST: [&str; 18] = [
        "CRDs: names, labels, status subresource on templates, list-map markers, printer columns",
        "metadata.yaml ↔ label agreement",
        "`status.initialization.provisioned` (+ `status.ready`), never reverts",
        "endpoint before provisioned; failureDomains as list",
        "providerID identical on Node; never rewritten",
        "waits: owner, infra, bootstrap; deletes do not wait",
        "merge-patch only own fields; resourceVersion stable",
        "Ready + Paused conditions, metav1; deterministic messages",
        "pause for spec.paused and annotation, re-enqueue on Cluster change; managed-by annotation",
        "finalizer first; release verified; restart and move safe (find by providerID/claim)",
        "block-move while claiming",
        "ClusterTemplate, dry-run-aware immutability",
        "capacity + nodeInfo on MachineTemplate",
        "Remediation + RemediationTemplate",
        "flags and probes of §24; watch filter; namespace",
        "flavors: default, ClusterClass, MHC with long nodeStartupTimeout, maxSurge 0",
        "clusterctl init from local repository, move, upgrade, describe tested",
        "CRD migrator before any storage-version change",
    ];

    /// The sections behind it, without what is a description of core or of old versions only.
    const SECTIONS: std::ops::RangeInclusive<u32> = 2..=27;

    #[test]
    fn every_proof_in_the_table_exists_on_its_plane() {
        let scenarios = scenarios();
        assert!(scenarios.contains("init"), "{scenarios:?}");
        for Row { point, plane, proof, .. } in rows(include_str!("contract.rs")) {
            let named = proof.trim_matches('`');
            match plane.as_str() {
                "open" | "not offered" => {
                    assert!(named == proof && named.len() > 6, "{point}: {plane}, but why? {proof}")
                }
                "e2e" => assert!(scenarios.contains(named), "{point}: there is no scenario {named}: {scenarios:?}"),
                _ => {
                    let (path, name) =
                        path_and_name(named).unwrap_or_else(|| panic!("{point}: no path::name: {proof}"));
                    assert!(find_test(&source(path), name).is_some(), "{point}: {path} has no test {name}");
                    assert_eq!(plane, plane_of(path), "{point}: {proof}");
                }
            }
        }
    }

    #[test]
    fn every_line_of_the_checklist_and_every_section_behind_it_has_a_row() {
        let rows = rows(include_str!("contract.rs"));
        let checklist = rows.iter().filter(|row| row.point.starts_with("§31."));
        let mut listed: Vec<_> = checklist.map(|row| (row.point.clone(), row.demand.clone())).collect();
        listed.dedup();
        let expected: Vec<_> =
            CHECKLIST.iter().zip(1..).map(|(line, n)| (format!("§31.{n}"), (*line).to_owned())).collect();
        assert_eq!(listed, expected);
        let present: BTreeSet<_> = rows.iter().map(|row| row.point.as_str()).collect();
        for section in SECTIONS {
            assert!(present.contains(format!("§{section}").as_str()), "§{section} has no row");
        }
    }
}
