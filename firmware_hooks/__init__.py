"""What touches the radio and the firmware of an access point; imports nothing of the agent or the cloud.

Plan first (pure), apply after (shell), roll back on failure:

    iw_text        `iw phy` and `iw dev` as values                                   core
    drivers        what is known against a driver, with the source                   core
    capability     can this radio listen, can it listen while it serves, where       core
    plan           wanted state -> commands, each with its undo                      core
    channels       which channel for how long; docs/adr/0012-channel-plan.md         core
    visitor        the token of a visitor who agreed on the portal                   core
    system         reads /sys and runs commands                                      shell
    apply          runs a plan, verifies it, undoes it                               shell
    hopper         sets channels, settles where the radio says no, reports           shell
    cli            python -m firmware_hooks report|plan|apply|remove|hop|visitor     shell

Scripts for OpenWrt and openNDS are in `openwrt/`; they are installed by deploy/openwrt.
"""
