# The bash script completes verbs, options and choices.
set -e
command -v bash >/dev/null || { echo "bash is not here"; exit 77; }
tandem completion bash >tandem.bash
complete_words() {
    bash -c '. ./tandem.bash; COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _tandem
        printf "%s\n" "${COMPREPLY[@]}"' words "$@"
}
complete_words tandem rec
complete_words tandem recommend --with
complete_words tandem train --similarity ''
tandem completion zsh | grep -q '^#compdef tandem'
tandem completion fish | grep -q '^complete -c tandem'
tandem completion tcsh 2>&1 && exit 1
[ $? -ne 0 ]
