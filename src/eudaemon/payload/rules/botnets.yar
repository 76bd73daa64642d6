// Families of IoT bots, told by texts that their published sources and analyses have in common.
// A rule names a likeness, not a proof: forks of forks share these texts.

rule Mirai_Like {
    meta:
        description = "Scans for telnet logins and is controlled as Mirai is"
    strings:
        $applet = "applet not found"
        $busybox = "/bin/busybox "
        $tun = "listening tun0"
        $enable = "enable\x00"
        $system = "system\x00"
        $shell = "shell\x00"
        $watchdog1 = "/dev/watchdog"
        $watchdog2 = "/dev/misc/watchdog"
        $exe = /\/proc\/(self|%[ds])?\/?exe/
        $tcp = "/proc/net/tcp"
        $dvr = "dvrHelper"
    condition:
        uint32(0) == 0x464c457f and ($tun or $dvr or ($watchdog1 and $watchdog2 and ($tcp or $exe)) or
            ($busybox and $applet and 2 of ($enable, $system, $shell, $tcp)))
}

rule Mirai_Table_Xor22 {
    meta:
        description = "Mirai's table of texts, under its published key (every byte xor 0x22)"
    strings:
        $tun = "listening tun0" xor(0x22)
        $applet = "applet not found" xor(0x22)
        $tcp = "/proc/net/tcp" xor(0x22)
        $query = "TSource Engine Query" xor(0x22)
    condition:
        uint32(0) == 0x464c457f and any of them
}

rule Mirai_Table_Other_Key {
    meta:
        description = "Mirai's table of texts, under a key of its own"
    strings:
        $applet = "applet not found" xor(0x01-0x21)
        $applet2 = "applet not found" xor(0x23-0xff)
        $tun = "listening tun0" xor(0x01-0x21)
        $tun2 = "listening tun0" xor(0x23-0xff)
    condition:
        uint32(0) == 0x464c457f and any of them
}

rule Gafgyt_Like {
    meta:
        description = "Takes orders over a text line as Gafgyt (Bashlite, Qbot) does"
    strings:
        $order1 = "HOLD" fullword
        $order2 = "JUNK" fullword
        $order3 = "KILLATTK"
        $order4 = "LOLNOGTFO"
        $order5 = "SCANNER" fullword
        $order6 = "GETLOCALIP"
        $order7 = "UDPRAW"
        $ping = "PONG!"
        $build = "BUILD %s"
        $infect = "REPORT %s:%s:%s"
    condition:
        uint32(0) == 0x464c457f and (3 of ($order*) or ($order4 and 1 of ($ping, $build, $infect)) or ($order3 and $ping))
}

rule Mozi_Like {
    meta:
        description = "A node of a peer-to-peer network as Mozi is"
    strings:
        $name = "Mozi." ascii
        $config1 = "[ss]"
        $config2 = "[/ss]"
        $config3 = "[hp]"
        $config4 = "[cpu]"
        $dht1 = "dht.transmissionbt.com"
        $dht2 = "router.bittorrent.com"
        $dht3 = "router.utorrent.com"
        $dht4 = "bttracker.debian.org"
    condition:
        uint32(0) == 0x464c457f and (2 of ($dht*) or 3 of ($config*) or ($name and 1 of ($dht*, $config*)))
}

rule Tsunami_Like {
    meta:
        description = "Takes orders over IRC as Tsunami (Kaiten) does"
    strings:
        $irc1 = "PRIVMSG %s :"
        $irc2 = "NOTICE %s :"
        $irc3 = "JOIN %s :%s"
        $order1 = "TSUNAMI <target> <secs>"
        $order2 = "GETSPOOFS"
        $order3 = "Kaiten wa goraku"
        $order4 = "UNKNOWN <target> <secs>"
    condition:
        uint32(0) == 0x464c457f and ((2 of ($irc*) and 1 of ($order*)) or 2 of ($order*))
}

rule Exploits_Carried {
    meta:
        description = "Carries requests that exploit routers, cameras and web servers"
    strings:
        $gpon = "/GponForm/diag_Form"
        $hg532 = "/ctrlt/DeviceUpgrade_1"
        $realtek1 = "/picsdesc.xml"
        $realtek2 = "/wanipcn.xml"
        $hnap = "purenetworks.com/HNAP1"
        $netgear = "setup.cgi?next_file=netgear.cfg"
        $jaws = "/shell?cd+/tmp"
        $thinkphp = "invokefunction&function=call_user_func_array"
        $tplink = "/cgi-bin/luci/;stok=/locale"
        $zyxel = "ViewLog.asp"
        $phpunit = "vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php"
        $adb = "CNXN\x00\x00\x00\x01"
    condition:
        (uint32(0) == 0x464c457f or uint16(0) == 0x5a4d) and any of them
}
