// pgjdbc: its own protocol; batches, portals fetched in parts, binary after five executions, autosave.
import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyManager;

public class JdbcApp {
    static String url, user, password;

    static Connection dial() throws SQLException { return DriverManager.getConnection(url, user, password); }

    static String one(Connection c, String sql, Object... args) throws SQLException {
        try (PreparedStatement s = c.prepareStatement(sql)) {
            for (int i = 0; i < args.length; i++) s.setObject(i + 1, args[i]);
            try (ResultSet r = s.executeQuery()) { r.next(); return r.getString(1); }
        }
    }

    static void run(Connection c, String sql) throws SQLException { try (Statement s = c.createStatement()) { s.execute(sql); } }

    static String state(Connection c, String sql) { try { run(c, sql); return "none"; } catch (SQLException e) { return e.getSQLState(); } }

    static String heard(Connection c) throws SQLException {
        org.postgresql.PGNotification[] n;
        do n = c.unwrap(PGConnection.class).getNotifications(1000); while (n == null || n.length == 0);
        return n[0].getParameter();
    }

    public static void main(String[] a) throws Exception {
        url = "jdbc:postgresql://" + a[0] + ":" + a[1] + "/" + a[2];
        user = a[3];
        password = a[4];
        Connection c = dial();
        System.out.println("simple " + one(c, "select 1 + 1"));
        PreparedStatement doubles = c.prepareStatement("select ?::int * 2");
        for (int n = 0; n < 8; n++) {   // from the fifth on it is named, and binary
            doubles.setInt(1, n);
            try (ResultSet r = doubles.executeQuery()) { r.next(); System.out.println("prepared " + r.getInt(1)); }
        }
        c.setAutoCommit(false);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(3);
            int sum = 0;
            try (ResultSet r = s.executeQuery("select n from generate_series(1, 10) n")) { while (r.next()) sum += r.getInt(1); }
            System.out.println("portal " + sum);
        }
        run(c, "truncate app_item");
        try (PreparedStatement s = c.prepareStatement("insert into app_item (id, word) values (?, ?)")) {
            for (int n = 0; n < 100; n++) { s.setInt(1, n); s.setString(2, "word " + n); s.addBatch(); }
            System.out.println("batch " + Arrays.stream(s.executeBatch()).sum());
        }
        c.commit();
        CopyManager copy = c.unwrap(PGConnection.class).getCopyAPI();
        StringBuilder lines = new StringBuilder();
        for (int n = 100; n < 1100; n++) lines.append(n).append("\tcopied ").append(n).append('\n');
        System.out.println("copy " + copy.copyIn("copy app_item from stdin", new StringReader(lines.toString())));
        StringWriter out = new StringWriter();
        System.out.println("copy " + copy.copyOut("copy (select * from app_item order by id) to stdout", out) + " " + out.toString().length());
        c.commit();
        Savepoint before = c.setSavepoint("before");
        System.out.println("error " + state(c, "insert into app_item values (1, 'twice')") + " then " + state(c, "select 1"));
        c.rollback(before);
        System.out.println("after savepoint " + one(c, "select count(*) from app_item"));
        c.commit();
        c.setAutoCommit(true);
        run(c, "listen news");
        run(dial(), "notify news, 'hello'");
        System.out.println("notified " + heard(c));
        try (Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            s.execute("select pg_sleep(60)");
        } catch (SQLException e) { System.out.println("cancelled " + e.getSQLState()); }
        System.out.println("idle");
        new Scanner(System.in).nextLine();
        doubles.setInt(1, 9);
        try (ResultSet r = doubles.executeQuery()) { r.next(); System.out.println("prepared " + r.getInt(1)); }
        System.out.println(one(c, "select word from app_item where id = ?", 7));
        run(dial(), "notify news, 'again'");
        System.out.println("notified " + heard(c));
    }
}
