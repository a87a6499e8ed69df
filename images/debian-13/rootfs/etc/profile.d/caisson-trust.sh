# A login shell begins with an empty environment, and not every way to one asks PAM: what /etc/environment names is set here as well.
while IFS='=' read -r name value; do
  case $name in
    '' | *[!A-Z0-9_]*) ;;
    *) eval "[ -n \"\${$name+set}\" ] || export $name=\"\$value\"" ;;
  esac
done < /etc/environment
unset name value
