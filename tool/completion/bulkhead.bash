# Completion of bulkhead(1) for bash.

# `bulkhead vchan`, whose subcommand is the word with this number.
_bulkhead_vchan()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options i
	local common='--domain --transport --directory --timeout --spin --json --help'
	COMPREPLY=()
	if ((COMP_CWORD <= $1)); then
		mapfile -t COMPREPLY < <(compgen -W 'listen connect cat ping bench --help' -- "$word")
		return
	fi
	for ((i = $1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			# What follows is a command line of its own.
			if declare -F _command_offset >/dev/null; then _command_offset "$((i + 1))"; fi
			return
		fi
	done
	case $previous in
	--transport)
		mapfile -t COMPREPLY < <(compgen -W 'shm socket' -- "$word")
		return
		;;
	--directory)
		compopt -o dirnames
		return
		;;
	-d | --domain | -w | --timeout | --spin | --size | -c | --count | -s | --bytes | -i | --interval | --cpus | --seconds)
		return
		;;
	esac
	case ${COMP_WORDS[$1]} in
	listen) options="$common --keep --size --verbose --hex --" ;;
	connect) options="$common --verbose --hex --" ;;
	cat) options="$common --verbose --hex" ;;
	ping) options="$common --count --bytes --interval --quiet --serve --keep --size" ;;
	bench) options='--transport --cpus --seconds --size --spin --json --help' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}

# The same for `bulkhead policy`.
_bulkhead_policy()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options
	local common='--compat --domains --json --help'
	COMPREPLY=()
	if ((COMP_CWORD <= $1)); then
		mapfile -t COMPREPLY < <(compgen -W 'check explain graph eval --help' -- "$word")
		return
	fi
	case $previous in
	--format)
		mapfile -t COMPREPLY < <(compgen -W 'dot svg' -- "$word")
		return
		;;
	--dir | --compat)
		compopt -o dirnames
		return
		;;
	--domains | -o | --output)
		compopt -o default
		return
		;;
	--relay | --service | --source | --target) return ;;
	esac
	case ${COMP_WORDS[$1]} in
	check)
		options="$common --strict"
		if [[ $word != -* ]]; then compopt -o dirnames; fi
		;;
	explain) options="$common --dir --relay" ;;
	graph) options="$common --dir --format --output --service --source --target --no-ask" ;;
	eval) options='--help' ;;
	esac
	if [[ $word == -* ]]; then mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word"); fi
}

# What `bulkhead ps` with these arguments says of the system that the command line is about.
_bulkhead_ps()
{
	local system=() i
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == --system ]]; then system=(--system "${COMP_WORDS[i + 1]}"); fi
	done
	bulkhead ps "${system[@]}" "$@" 2>/dev/null
}

# Words of the running system: domains, the services of a domain, or systems.
_bulkhead_domains() { _bulkhead_ps | awk '/^DOMAIN /{list = 1; next} list{print $1}'; }

_bulkhead_services() { _bulkhead_ps --services "$1" | grep -Fvx '*'; }

_bulkhead_systems()
{
	local directory=${BULKHEAD_RUN_DIR:-/run/bulkhead}
	if [[ -z ${BULKHEAD_RUN_DIR-} ]] && ((EUID != 0)); then
		directory=/tmp/bulkhead-$EUID
		if [[ -n ${XDG_RUNTIME_DIR-} ]]; then directory=$XDG_RUNTIME_DIR/bulkhead; fi
	fi
	compgen -G "$directory/*/control" | awk -F/ '{print $(NF - 1)}'
}

# `bulkhead ps`, `call` and the like, whose name is the word with this number.
_bulkhead_running()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} options='' domains=0 i given=0 domain=''
	COMPREPLY=()
	for ((i = $1 + 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} == -- ]]; then
			if declare -F _command_offset >/dev/null; then _command_offset "$((i + 1))"; fi
			return
		fi
		if [[ ${COMP_WORDS[i]} != -* && ${COMP_WORDS[i - 1]} != -@(-system|n|-lines|d|-delay|o|-output) ]]; then
			((++given))
			domain=${domain:-${COMP_WORDS[i]}}
		fi
	done
	case $previous in
	--system)
		mapfile -t COMPREPLY < <(compgen -W "$(_bulkhead_systems)" -- "$word")
		return
		;;
	-o | --output)
		compopt -o default
		return
		;;
	--services)
		mapfile -t COMPREPLY < <(compgen -W "$(_bulkhead_domains)" -- "$word")
		return
		;;
	-n | --lines | -d | --delay) return ;;
	esac
	case ${COMP_WORDS[$1]} in
	ps) options='--json --services' ;;
	top) options='--delay --once --json' ;;
	graph) options='--output --json' ;;
	logs) options='--follow --lines' domains=1 ;;
	stop) options='--all' domains=1 ;;
	start | restart | call) domains=1 ;;
	mount)
		options='--read-only --allow-other' domains=1
		if ((given == 2)) && [[ $word != -* ]]; then
			compopt -o dirnames
			return
		fi
		;;
	esac
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options --system --help" -- "$word")
	elif ((domains && given == 0)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_bulkhead_domains)" -- "$word")
	elif [[ ${COMP_WORDS[$1]} == call ]] && ((given == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_bulkhead_services "$domain")" -- "$word")
	fi
}

_bulkhead()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} != -* ]]; then
			command=${COMP_WORDS[i]}
			break
		fi
	done
	if [[ $command == vchan ]]; then
		_bulkhead_vchan "$((i + 1))"
		return
	fi
	if [[ $command == policy ]]; then
		_bulkhead_policy "$((i + 1))"
		return
	fi
	if [[ $command == @(ps|top|graph|logs|start|stop|restart|reload|call|mount) ]]; then
		_bulkhead_running "$i"
		return
	fi
	COMPREPLY=()
	case $previous in
	-m | --mount | --run-dir)
		compopt -o dirnames
		return
		;;
	--ready-fd | --depth) return ;;
	esac
	case $command in
	'') mapfile -t COMPREPLY < <(compgen -W 'run ps top call logs start stop restart reload mount graph serve tree stat doctor vchan policy completion --help --version' -- "$word") ;;
	serve | run)
		if [[ $word == -* ]]; then
			local options='--check --ready-fd --verbose --help'
			if [[ $command == run ]]; then options+=' --run-dir'; else options+=' --mount'; fi
			mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
		else
			compopt -o filenames
			mapfile -t COMPREPLY < <(compgen -f -X '!*.toml' -- "$word" && :; compgen -d -- "$word")
		fi
		;;
	tree)
		[[ $word == -* ]] && mapfile -t COMPREPLY < <(compgen -W '--depth --json --help' -- "$word")
		compopt -o default
		;;
	stat)
		[[ $word == -* ]] && mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$word")
		compopt -o default
		;;
	doctor) mapfile -t COMPREPLY < <(compgen -W '--json --help' -- "$word") ;;
	completion) mapfile -t COMPREPLY < <(compgen -W 'bash zsh' -- "$word") ;;
	esac
}

complete -F _bulkhead bulkhead
