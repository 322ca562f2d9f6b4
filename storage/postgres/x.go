package postgres
import (_ "github.com/jackc/pgx/v5"; _ "github.com/jackc/pgx/v5/pgxpool"; _ "github.com/jackc/pgx/v5/pgproto3"; _ "github.com/jackc/pgx/v5/pgconn")
