# Completion of bulkhead(1) for bash.

_bulkhead()
{
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} != -* ]]; then
			command=${COMP_WORDS[i]}
			break
		fi
	done
	COMPREPLY=()
	case $previous in
	-m | --mount)
		compopt -o dirnames
		return
		;;
	--ready-fd | --depth) return ;;
	esac
	case $command in
	'') mapfile -t COMPREPLY < <(compgen -W 'serve tree stat doctor completion --help --version' -- "$word") ;;
	serve)
		if [[ $word == -* ]]; then
			mapfile -t COMPREPLY < <(compgen -W '--mount --check --ready-fd --verbose --help' -- "$word")
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
