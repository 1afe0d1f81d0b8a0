//! Which scenarios show that the restart of a held call is without effect.

/// Call and scenarios.
pub(super) const SHOWN: &[(&str, &[&str])] = &[
    (
        "open",
        &[
            "held_open_for_writing_has_no_effect",
            "held_open_for_reading_has_no_effect",
            "held_32_bit_open_has_no_effect",
            "a_32_bit_program_is_held_and_gets_the_right_result",
            "held_exclusive_creation_has_no_effect",
            "held_creation_and_its_open_are_one_question",
        ],
    ),
    ("creat", &["held_creat_of_an_existing_file_has_no_effect"]),
    ("openat", &["held_openat_for_writing_has_no_effect"]),
    ("openat2", &["held_openat2_for_writing_has_no_effect"]),
    (
        "execve",
        &[
            "held_execve_has_no_effect",
            "held_execve_of_a_vfork_child_has_no_effect",
            "held_script_and_interpreter_take_exactly_two_answers",
        ],
    ),
    ("execveat", &["held_execveat_has_no_effect"]),
    (
        "mmap",
        &[
            "held_mmap_of_a_library_has_no_effect",
            "held_mmap_of_a_held_program_has_no_effect",
        ],
    ),
    ("truncate", &["held_truncate_has_no_effect"]),
    (
        "rename",
        &[
            "held_rename_has_no_effect",
            "held_rename_over_a_file_has_no_effect",
            "held_rename_into_a_directory_has_no_effect",
            "held_rename_out_of_a_directory_has_no_effect",
            "held_rename_of_a_directory_has_no_effect",
        ],
    ),
    ("renameat", &["held_renameat_has_no_effect"]),
    (
        "renameat2",
        &[
            "held_renameat2_has_no_effect",
            "held_renameat2_without_replacing_has_no_effect",
            "held_exchange_takes_an_answer_for_each_direction",
        ],
    ),
    ("mkdir", &["held_mkdir_has_no_effect"]),
    ("mkdirat", &["held_mkdirat_has_no_effect"]),
    ("rmdir", &["held_rmdir_has_no_effect"]),
    (
        "link",
        &[
            "held_link_has_no_effect",
            "held_link_into_a_directory_has_no_effect",
            "held_link_out_of_a_directory_has_no_effect",
        ],
    ),
    ("linkat", &["held_linkat_has_no_effect"]),
    ("unlink", &["held_unlink_has_no_effect"]),
    (
        "unlinkat",
        &[
            "held_unlinkat_has_no_effect",
            "held_unlinkat_of_a_directory_has_no_effect",
        ],
    ),
    ("symlink", &["held_symlink_has_no_effect"]),
    ("symlinkat", &["held_symlinkat_has_no_effect"]),
    (
        "mknod",
        &[
            "held_mknod_has_no_effect",
            "held_mknod_of_a_regular_file_has_no_effect",
            "held_mknod_of_a_device_has_no_effect",
        ],
    ),
    ("mknodat", &["held_mknodat_has_no_effect"]),
    ("chmod", &["held_chmod_has_no_effect"]),
    ("fchmod", &["held_fchmod_has_no_effect"]),
    ("fchmodat", &["held_fchmodat_has_no_effect"]),
    (
        "chown",
        &[
            "held_chown_has_no_effect",
            "held_change_of_owner_by_root_has_no_effect",
        ],
    ),
    ("fchown", &["held_fchown_has_no_effect"]),
    ("lchown", &["held_lchown_has_no_effect"]),
    ("fchownat", &["held_fchownat_has_no_effect"]),
    (
        "removexattr",
        &[
            "held_removexattr_has_no_effect",
            "held_removal_of_an_access_list_has_no_effect",
        ],
    ),
    ("lremovexattr", &["held_lremovexattr_has_no_effect"]),
    ("fremovexattr", &["held_fremovexattr_has_no_effect"]),
    ("utimensat", &["held_utimensat_has_no_effect"]),
    (
        "connect",
        &[
            "held_tcp_connect_has_no_effect",
            "held_tcp_connect_over_ipv6_has_no_effect",
            "held_tcp_connect_to_a_mapped_address_has_no_effect",
            "held_udp_connect_has_no_effect",
            "held_connections_to_unix_sockets_have_no_effect",
        ],
    ),
    (
        "sendto",
        &[
            "held_sendto_has_no_effect",
            "held_sendto_over_ipv6_has_no_effect",
            "held_tcp_fast_open_has_no_effect",
            "held_datagrams_to_unix_sockets_have_no_effect",
            "held_netlink_messages_have_no_effect",
        ],
    ),
    (
        "sendmsg",
        &[
            "held_sendmsg_has_no_effect",
            "held_netlink_messages_have_no_effect",
        ],
    ),
    (
        "bind",
        &[
            "held_bind_of_a_tcp_socket_has_no_effect",
            "held_bind_of_a_udp_socket_has_no_effect",
            "held_bind_of_a_unix_socket_has_no_effect",
            "held_bind_of_a_name_has_no_effect",
        ],
    ),
    ("listen", &["held_listen_has_no_effect"]),
    ("socket", &["held_raw_sockets_are_not_made"]),
    ("mount", &["held_mounts_have_no_effect"]),
    ("umount2", &["held_umount_has_no_effect"]),
    ("move_mount", &["held_mounts_have_no_effect"]),
    ("ptrace", &["held_ptrace_has_no_effect"]),
    ("kill", &["held_signals_have_no_effect"]),
    ("tgkill", &["held_signals_have_no_effect"]),
    ("pidfd_send_signal", &["held_signals_have_no_effect"]),
    ("finit_module", &["held_module_is_not_loaded"]),
    ("setuid", &["held_change_of_ids_has_no_effect"]),
    ("setresuid", &["held_change_of_ids_has_no_effect"]),
    ("setresgid", &["held_change_of_ids_has_no_effect"]),
    ("unshare", &["held_unshare_has_no_effect"]),
    ("settimeofday", &["held_setting_of_the_clock_has_no_effect"]),
    (
        "clock_settime",
        &["held_setting_of_the_clock_has_no_effect"],
    ),
];
